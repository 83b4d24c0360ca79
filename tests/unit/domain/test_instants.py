"""Points in time: read, written and counted in months."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airq.domain.instants import (
    EARLIEST,
    END,
    EPOCH,
    UnreadableInstant,
    format_instant,
    local_offset,
    month_of,
    next_month,
    parse_instant,
    to_datetime,
    to_milliseconds,
)

MADRID = ZoneInfo("Europe/Madrid")
OCTOBER = 1475280000000
"""2016-10-01T00:00:00Z, as `date -u -d 2016-10-01 +%s000` says."""

DAY = 86_400_000
OTHER_YEAR = "the year, in UTC, is outside of 1900 to 2099"

MILLISECONDS = st.integers(-2208988800000, 4102444799999)
"""From 1900 to 2099."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-10-01 00:00:00", OCTOBER),
        ("2016-10-01T00:00:00Z", OCTOBER),
        ("2016-10-01t00:00:00z", OCTOBER),
        (" 2016/10/01 00:00 ", OCTOBER),
        ("2016-10-01 00:00 UTC", OCTOBER),
        ("2016-10-01T02:00:00+02:00", OCTOBER),
        ("2016-10-01T02:00+02", OCTOBER),
        ("2016-09-30 20:30:00 -0330", OCTOBER),
        ("2016-09-30T24:00:00", OCTOBER),
        ("2016-09-30 24:00", OCTOBER),
        ("2016-10-01T24:00:00.000+15:00", OCTOBER + 9 * 3_600_000),
        ("2016-10-01 00:00:00.004", OCTOBER + 4),
        ("2016-10-01 00:00:00,4", OCTOBER + 400),
        ("2016-10-01 00:00:00.999999999", OCTOBER + 999),
        ("2016-10-01 23:59:59.9999", OCTOBER + 86_399_999),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1900-01-01T00:00Z", -2208988800000),
        ("2099-12-31T23:59:59.999Z", 4102444799999),
        ("1899-12-31T23:59-00:01", -2208988800000),
        ("2100-01-01T14:59:59.999+15:00", 4102444799999),
        ("2024-02-29 00:00", 1709164800000),
    ],
)
def test_a_time_of_any_usual_spelling_is_read(text: str, expected: int) -> None:
    assert parse_instant(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty; every measurement needs its time"),
        ("2016-10-01", "a date without a time of day; write both, as in 2016-10-01 00:00:00"),
        ("7:30 pm", "a time of day without its date"),
        ("1/2/16", "which is the day and which the month?"),
        ("1475280000.5", "a number, not a time"),
        ("yesterday", "not a time of the form 2016-10-01T00:00:00.000Z"),
        ("2016-10-01T00:00:00.0000000001", "not a time of the form"),
        ("2016-10-01 0:00", "not a time of the form"),
        ("2016-10-01 00:00.5", "not a time of the form"),
        ("2016-10-0١ 00:00", "not a time of the form"),
        ("2016-02-30 00:00", "no such day in the calendar"),
        ("0000-01-01 00:00", "no such day in the calendar"),
        ("1899-12-31 23:59:59.999", OTHER_YEAR),
        ("1900-01-01 00:00+00:01", OTHER_YEAR),
        ("1900-01-01 13:59:59.999+14:00", OTHER_YEAR),
        ("2099-12-31 23:59-00:01", OTHER_YEAR),
        ("2099-12-31 24:00", OTHER_YEAR),
        ("2100-01-01 00:00", OTHER_YEAR),
        ("0001-01-01 00:00+15:00", OTHER_YEAR),
        ("9999-12-31 24:00-15:00", OTHER_YEAR),
        ("2016-10-01 24:00:00.001", "no such time of day"),
        ("2016-10-01 24:01", "no such time of day"),
        ("2016-10-01 12:60", "no such time of day"),
        ("2016-12-31 23:59:60", "a leap second"),
        ("2016-10-01 00:00+16:00", "no such zone offset: +16:00"),
        ("2016-10-01 00:00-01:60", "no such zone offset: -01:60"),
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UnreadableInstant) as refusal:
        parse_instant(text)
    assert str(refusal.value).startswith(reason)


def test_a_date_alone_is_its_midnight_where_that_is_allowed() -> None:
    assert parse_instant("2016-10-01", date_alone=True) == OCTOBER
    assert parse_instant("2016/10/01", MADRID, date_alone=True) == OCTOBER - 2 * 3_600_000


def test_a_time_without_a_zone_is_read_in_the_given_one() -> None:
    assert parse_instant("2016-10-01 02:00", MADRID) == OCTOBER
    assert parse_instant("2016-09-30 24:00", MADRID) == OCTOBER - 2 * 3_600_000
    assert parse_instant("2016-09-30 21:00", timezone(timedelta(hours=-3))) == OCTOBER
    assert parse_instant("2016-10-01 00:00Z", MADRID) == OCTOBER


def test_an_hour_that_the_clocks_showed_twice_or_never_is_refused() -> None:
    with pytest.raises(UnreadableInstant, match=r"^happened twice in Europe/Madrid .* as in \+02:00$"):
        parse_instant("2016-10-30 02:30", MADRID)
    with pytest.raises(UnreadableInstant, match=r"^did not happen in Europe/Madrid .* another zone\?$"):
        parse_instant("2016-03-27 02:30", MADRID)
    assert parse_instant("2016-10-30 02:30+01:00", MADRID) == parse_instant("2016-10-30 01:30Z")
    assert parse_instant("2016-10-30 03:00", MADRID) == parse_instant("2016-10-30 02:00Z")
    assert parse_instant("2016-03-26 24:00", MADRID) == parse_instant("2016-03-26 23:00Z")


@settings(deadline=None)
@given(MILLISECONDS)
def test_a_time_that_was_written_is_read_as_it_was(milliseconds: int) -> None:
    text = format_instant(milliseconds)
    assert len(text) == 24
    assert parse_instant(text) == milliseconds
    assert to_milliseconds(to_datetime(milliseconds)) == milliseconds


@settings(deadline=None)
@given(MILLISECONDS, st.integers(-15 * 60, 15 * 60))
def test_a_time_is_the_same_whatever_its_offset(milliseconds: int, minutes: int) -> None:
    assert parse_instant(spelled(milliseconds, minutes)) == milliseconds


def spelled(milliseconds: int, minutes: int) -> str:
    """Write a time with an offset."""
    local = to_datetime(milliseconds) + timedelta(minutes=minutes)
    hours, rest = divmod(abs(minutes), 60)
    return f"{local:%Y-%m-%dT%H:%M:%S.%f}{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"


@settings(deadline=None)
@given(st.sampled_from([EARLIEST, END]), st.integers(-DAY, DAY), st.integers(-15 * 60, 15 * 60))
@example(END, 0, 0)
@example(EARLIEST, -1, -15 * 60)
def test_it_is_utc_that_tells_whether_a_time_is_within_the_years(bound: int, off: int, minutes: int) -> None:
    text = spelled(bound + off, minutes)
    if EARLIEST <= bound + off < END:
        assert parse_instant(text) == bound + off
    else:
        with pytest.raises(UnreadableInstant, match=OTHER_YEAR):
            parse_instant(text)


def test_a_range_may_end_behind_the_last_year_and_no_later() -> None:
    for text in ("2100-01-01", "2099-12-31T24:00", "2099-12-31T19:00-05:00", "2100-01-01T00:00:00.0009Z"):
        assert parse_instant(text, date_alone=True, ends_range=True) == END
    with pytest.raises(UnreadableInstant, match=OTHER_YEAR):
        parse_instant("2100-01-01T00:00:00.001Z", ends_range=True)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        milliseconds = parse_instant(text)
    except UnreadableInstant:
        return
    assert format_instant(milliseconds).endswith("Z")


@settings(deadline=None)
@given(MILLISECONDS)
def test_a_time_lies_in_its_month(milliseconds: int) -> None:
    first = month_of(milliseconds)
    behind = next_month(first)
    assert first.day == behind.day == 1
    assert 28 <= (behind - first).days <= 31
    moment = to_datetime(milliseconds).date()
    assert first <= moment < behind


def test_the_month_after_december_is_in_the_next_year() -> None:
    assert next_month(date(2016, 12, 31)) == date(2017, 1, 1)


def test_a_zone_is_ahead_by_its_offset() -> None:
    assert local_offset(datetime(2016, 7, 1), MADRID) == timedelta(hours=2)  # noqa: DTZ001 local times
    assert local_offset(datetime(2016, 12, 1), MADRID) == timedelta(hours=1)  # noqa: DTZ001
    assert local_offset(EPOCH.replace(tzinfo=None), UTC) == timedelta()
