"""Whatever a load touches drops every answer that shows it."""

from datetime import date

from hypothesis import example, given
from hypothesis import strategies as st

from airq.domain.tags import (
    EVERYTHING,
    LONGEST_TAGS,
    MOST_TAGS,
    month_tag,
    station_tag,
    tags_asked,
    tags_touched,
)

MONTHS = st.dates(date(2015, 1, 1), date(2020, 12, 31)).map(lambda day: day.replace(day=1))
FIRST = date(2015, 1, 1)
MANY = [str(number) for number in range(MOST_TAGS + 1)]
LONG = "é" * LONGEST_TAGS
SEVEN_YEARS = [date(2015 + number // 12, number % 12 + 1, 1) for number in range(84)]
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=5)


@st.composite
def asked_and_shown(draw: st.DrawFn) -> tuple[list[str], list[date] | None, tuple[str, date]]:
    """Stations and months of a request, and one of the pairs that its answer shows."""
    stations = draw(st.lists(NAMES, unique=True, max_size=100))
    months = draw(st.none() | st.lists(MONTHS, unique=True, min_size=1, max_size=70))
    station = draw(st.sampled_from(stations) if stations else NAMES)
    month = draw(st.sampled_from(months) if months else MONTHS)
    return stations, months, (station, month)


@given(asked_and_shown())
@example(([], None, ("a", FIRST)))
@example((["a"], None, ("a", FIRST)))
@example((["a", "b"], [FIRST], ("b", FIRST)))
# Too many or too long for a header: as pairs, as stations, as months.
@example((MANY, [FIRST], (MANY[-1], FIRST)))
@example((MANY, None, (MANY[-1], FIRST)))
@example((MANY[:60], SEVEN_YEARS, (MANY[59], SEVEN_YEARS[-1])))
@example((MANY, SEVEN_YEARS, (MANY[-1], SEVEN_YEARS[-1])))
@example(([LONG], [FIRST], (LONG, FIRST)))
@example(([LONG], None, (LONG, FIRST)))
def test_an_answer_falls_if_a_load_touches_what_it_asked_for(
    case: tuple[list[str], list[date] | None, tuple[str, date]],
) -> None:
    stations, months, touched = case
    assert set(tags_asked(stations, months)) & set(tags_touched([touched]))


@given(
    st.lists(NAMES, unique=True, min_size=1, max_size=8),
    st.lists(MONTHS, unique=True, min_size=1, max_size=8),
)
def test_a_closely_bounded_answer_falls_for_nothing_else(stations: list[str], months: list[date]) -> None:
    asked = set(tags_asked(stations, months))
    assert not asked & set(tags_touched([("another station", months[0])]))
    assert not asked & set(tags_touched([(stations[0], date(2030, 1, 1))]))


def test_an_answer_has_a_bounded_number_of_tags() -> None:
    stations = [str(number) for number in range(200)]
    months = [date(2000 + number // 12, number % 12 + 1, 1) for number in range(240)]
    assert len(tags_asked(stations[:60], months)) <= MOST_TAGS
    assert tags_asked(stations, months) == [EVERYTHING]


def test_the_tags_of_long_names_fit_a_header() -> None:
    months = [date(2016, month, 1) for month in (1, 2, 3)]
    for length in range(1, 600):
        stations = [f"{number}".ljust(length, "é") for number in range(16)]
        assert len(",".join(tags_asked(stations, months))) <= LONGEST_TAGS
    assert tags_asked(["é" * 100] * 16, months) == [month_tag(month) for month in months]
    assert tags_asked(["é" * 30] * 16, months) == [station_tag("é" * 30)] * 16
    assert tags_asked(["é" * 1000], None) == [EVERYTHING]


def test_a_tag_has_no_character_that_separates_tags() -> None:
    [tag] = tags_asked(['a b,c/d\n"é'], [date(2016, 10, 1)])
    assert tag == "s:a%20b%2Cc%2Fd%0A%22%C3%A9/2016-10"


def test_nothing_touched_drops_nothing() -> None:
    assert tags_touched([]) == []
