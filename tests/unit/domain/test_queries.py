"""Queries have one spelling, and cursors lead back to their place and to no other."""

import base64
from datetime import UTC, date, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airq.domain.instants import to_milliseconds
from airq.domain.pollutants import NAMES
from airq.domain.queries import Cursor, ForeignCursor, Order, Query, TimeRange

INSTANTS = st.integers(to_milliseconds(datetime(1900, 1, 1, tzinfo=UTC)), 4_102_444_799_999)
STATIONS = st.text(st.characters(codec="utf-8"), min_size=1)
FILTERS = st.text(st.characters(codec="ascii"))


@given(time=INSTANTS, station=STATIONS, filters=FILTERS)
def test_a_cursor_leads_back_to_its_place(time: int, station: str, filters: str) -> None:
    text = Cursor(time, station).encode(filters)
    assert Cursor.decode(text, filters) == Cursor(time, station)
    # It may stand in a URL as it is.
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()


@given(time=INSTANTS, station=STATIONS, filters=FILTERS, others=FILTERS)
def test_a_cursor_is_bound_to_its_filters(time: int, station: str, filters: str, others: str) -> None:
    text = Cursor(time, station).encode(filters)
    if others == filters:
        return
    with pytest.raises(ForeignCursor):
        Cursor.decode(text, others)


@given(time=INSTANTS, station=STATIONS, data=st.data())
def test_a_damaged_cursor_is_refused_or_another_cursor(time: int, station: str, data: st.DataObject) -> None:
    text = Cursor(time, station).encode("")
    place = data.draw(st.integers(0, len(text)))
    damaged = text[:place] + data.draw(st.text(max_size=2)) + text[place + data.draw(st.integers(0, 2)) :]
    try:
        found = Cursor.decode(damaged, "")
    except ValueError:
        return
    # No two texts mean the same place.
    assert found.encode("") == damaged


@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(not a cursor)?$"):
        Cursor.decode(text, "")


@pytest.mark.parametrize("time", [-(2**63), 2**63 - 1, 10**15])
def test_a_cursor_at_no_time_of_the_calendar_is_refused(time: int) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.decode(Cursor(time, "a").encode(""), "")


def test_a_cursor_of_a_later_form_is_refused() -> None:
    data = base64.urlsafe_b64decode(Cursor(0, "ab").encode(""))
    later = base64.urlsafe_b64encode(b"\x02" + data[1:]).rstrip(b"=").decode()
    with pytest.raises(ValueError, match="not a cursor"):
        Cursor.decode(later, "")


def test_cursors_of_this_form_stay_readable() -> None:
    # Links that clients keep must outlive an upgrade: change the version with the form.
    text = "AeOwxEIAAAFXfYpUBGFxX3NhbHZpYQ"
    assert Cursor.decode(text, "") == Cursor(1475280000004, "aq_salvia")


def milliseconds(text: str) -> int:
    """Return a time of ISO 8601's form."""
    return to_milliseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2016-10-01", "2016-10-02", ["2016-10-01"]),
        ("2016-10-01", "2016-11-01", ["2016-10-01"]),
        ("2016-10-01", "2016-11-01T00:00:00.001", ["2016-10-01", "2016-11-01"]),
        ("2016-10-31T23:59:59.999", "2016-11-01", ["2016-10-01"]),
        ("2016-12-31", "2017-02-01T00:00:01", ["2016-12-01", "2017-01-01", "2017-02-01"]),
        ("2016-02-29", "2016-03-01", ["2016-02-01"]),
    ],
)
def test_a_range_touches_the_months_that_hold_its_moments(start: str, end: str, months: list[str]) -> None:
    touched = TimeRange(milliseconds(start), milliseconds(end)).months
    assert touched == [date.fromisoformat(month) for month in months]


@pytest.mark.parametrize(("start", "end"), [(None, None), (0, None), (None, 0)])
def test_a_range_with_an_open_end_touches_no_countable_months(start: int | None, end: int | None) -> None:
    assert TimeRange(start, end).months is None


def test_defaults_leave_no_trace_in_the_canonical_query() -> None:
    assert Query().canonical() == ""
    assert Query(format="csv", limit=None).canonical() == "format=csv"
    assert Query(format="csv").canonical() == "limit=1000&format=csv"
    assert Query(limit=5, pollutants=NAMES).canonical() == "limit=5"


@given(
    stations=st.lists(STATIONS, unique=True, max_size=3).map(sorted).map(tuple),
    pollutants=st.sets(st.sampled_from(NAMES), min_size=1),
    start=st.none() | INSTANTS,
    order=st.sampled_from(["asc", "desc"]),
    place=st.none() | st.tuples(INSTANTS, STATIONS),
)
def test_the_canonical_query_says_all_of_a_query(
    stations: tuple[str, ...],
    pollutants: set[str],
    start: int | None,
    order: Order,
    place: tuple[int, str] | None,
) -> None:
    chosen = tuple(name for name in NAMES if name in pollutants)
    query = Query(stations, chosen, TimeRange(start), order)
    if place is not None:
        query = query.behind(*place)
    said = parse_qsl(query.canonical(), strict_parsing=bool(query.canonical()))
    assert tuple(value for name, value in said if name == "station") == stations
    named = tuple(value for name, value in said if name == "pollutant")
    assert named == (chosen if len(chosen) < len(NAMES) else ())
    others = {name: value for name, value in said if name not in ("station", "pollutant")}
    assert ("from" in others) == (start is not None)
    assert others.get("order") == ("desc" if order == "desc" else None)
    if place is not None:
        assert Cursor.decode(others["cursor"], query.filters()) == Cursor(*place)


def test_a_cursor_stays_good_under_another_limit_format_or_pollutant() -> None:
    plain, other = Query(), Query(pollutants=("no2",), limit=7, format="csv")
    assert plain.filters() == other.filters()
    assert plain.filters() != Query(order="desc").filters()
