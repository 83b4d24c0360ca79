"""Points in time: integer milliseconds since 1970-01-01T00:00:00Z, read and written.

Milliseconds are the precision that airq promises. Finer digits of a file or a query are cut off, never
rounded up, so that a time never moves into the next hour, day or month.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, END = -2_208_988_800_000, 4_102_444_800_000
"""1900-01-01T00:00:00Z and 2100-01-01T00:00:00Z: times outside of the years between are typing errors, and
each would cost a partition. It is UTC that counts, because times are stored, written and asked for so."""

INSTANT_FORM = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{4}/\d\d/\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:(?<=:\d\d:\d\d)[.,](?P<fraction>\d{1,9}))?"
    r"(?P<zone> ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?)?",
    re.ASCII | re.IGNORECASE,
)
"""What a time looks like; whether there is such a time is for `parse_instant` to say."""

_OTHER_YEAR = "the year, in UTC, is outside of 1900 to 2099"
_MILLISECOND = timedelta(milliseconds=1)
_TIME_OF_DAY = re.compile(r"\d\d?[:.]\d\d(?:[:.]\d\d)?(?: ?[AP]M)?", re.ASCII | re.IGNORECASE)
_YEAR_NOT_FIRST = re.compile(r"\d\d?[-/.]\d\d?[-/.]\d{2,4}\b.*", re.ASCII)
_MERE_NUMBER = re.compile(r"\d+(?:\.\d*)?", re.ASCII)


class UnreadableInstant(ValueError):
    """A text is not a point in time in one of the forms that airq reads."""


def parse_instant(
    text: str, timezone: tzinfo = UTC, *, date_alone: bool = False, ends_range: bool = False
) -> int:
    """Read a time of ISO 8601's form (or with `/` in the date, or a space for the `T`).

    Args:
        text: for instance `2016-10-01 00:00:00.004`, `2016-10-01T02:00+02:00`; `24:00` is the
            end of its day, as in ISO 8601.
        timezone: where a time without a zone was read.
        date_alone: also take `2016-10-01`, which means its midnight.
        ends_range: also take the first moment behind the last year, because a range does not hold its end.

    Returns:
        Milliseconds since 1970-01-01T00:00:00Z; finer digits are cut off.

    Raises:
        UnreadableInstant: the text has another form, names a time that does not exist, one outside of the
            years that airq keeps, or, in a zone with summer time, one that happened twice.
    """
    text = text.strip()
    form = INSTANT_FORM.fullmatch(text)
    if form is None or (form["time"] is None and not date_alone):
        raise UnreadableInstant(_what_instead(text, form))
    milliseconds = int((form["fraction"] or "").ljust(3, "0")[:3])
    clock = form["time"] or "00:00"
    # ISO 8601's end of a day, which some networks write for their last hour.
    ends_day = clock in ("24:00", "24:00:00") and not milliseconds
    try:
        day = date.fromisoformat(form["date"].replace("/", "-"))
    except ValueError:
        raise UnreadableInstant("no such day in the calendar") from None
    # A time's offset may lead into the neighboring year; farther off, the calendar itself may end.
    if not 1899 <= day.year <= 2100:
        raise UnreadableInstant(_OTHER_YEAR)
    try:
        hour, minute, second = (int(part) for part in f"{clock}:00".split(":")[:3])
        local = datetime.combine(day, time() if ends_day else time(hour, minute, second))
    except ValueError:
        if clock[5:] == ":60":
            reason = "a leap second, which airq can't keep; write the second before or after it"
            raise UnreadableInstant(reason) from None
        reason = "no such time of day; it goes from 00:00:00 to 23:59:59, or 24:00 as a day's end"
        raise UnreadableInstant(reason) from None
    local += timedelta(days=ends_day)
    offset = parse_offset(form["zone"]) if form["zone"] else local_offset(local, timezone)
    instant = (local.replace(tzinfo=UTC) - offset - EPOCH) // _MILLISECOND + milliseconds
    if not EARLIEST <= instant < END + ends_range:
        raise UnreadableInstant(_OTHER_YEAR)
    return instant


def _what_instead(text: str, form: re.Match[str] | None) -> str:
    """Return the reason why a text of another form is refused, as close to it as can be told."""
    if form is not None:
        return "a date without a time of day; write both, as in 2016-10-01 00:00:00"
    if not text:
        return "empty; every measurement needs its time"
    if _TIME_OF_DAY.fullmatch(text):
        return "a time of day without its date; write both in one column, as in 2016-10-01 18:00:00"
    if _YEAR_NOT_FIRST.fullmatch(text):
        return "which is the day and which the month? write the year first, as in 2016-10-01 18:00:00"
    if _MERE_NUMBER.fullmatch(text):
        return "a number, not a time; write it as in 2016-10-01 18:00:00"
    return "not a time of the form 2016-10-01T00:00:00.000Z"


def parse_offset(zone: str) -> timedelta:
    """Read a zone as `INSTANT_FORM` has it: `Z`, `UTC`, `+02:00`, `+0200` or `+02`.

    Raises:
        UnreadableInstant: no place on earth is that far ahead or behind.
    """
    zone = zone.strip().upper()
    if zone in ("Z", "UTC"):
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise UnreadableInstant(f"no such zone offset: {zone}")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def local_offset(local: datetime, timezone: tzinfo) -> timedelta:
    """Return how far a zone's clocks were ahead of UTC when they showed a time.

    Args:
        local: what they showed, without a zone.

    Raises:
        UnreadableInstant: they showed it twice, or never.
    """
    if timezone is UTC:
        return timedelta()
    earlier = local.replace(tzinfo=timezone, fold=0)
    offset, later_offset = earlier.utcoffset(), earlier.replace(fold=1).utcoffset()
    assert offset is not None
    assert later_offset is not None
    if offset > later_offset:
        raise UnreadableInstant(
            f"happened twice in {timezone} (clocks went back); write its offset, as in +02:00"
        )
    if offset < later_offset:
        raise UnreadableInstant(
            f"did not happen in {timezone} (clocks went forward); was it read in another zone?"
        )
    return offset


def to_milliseconds(instant: datetime) -> int:
    """Return an aware datetime as milliseconds since 1970-01-01T00:00:00Z."""
    return (instant - EPOCH) // _MILLISECOND


def to_datetime(milliseconds: int) -> datetime:
    """Return milliseconds since 1970-01-01T00:00:00Z as a datetime in UTC."""
    return EPOCH + timedelta(milliseconds=milliseconds)


# A page of measurements repeats few minutes and all milliseconds: two tables make writing a time
# two look-ups, a quarter of what formatting its parts costs.
_SECONDS = tuple(f"{n // 1000:02d}.{n % 1000:03d}Z" for n in range(60_000))


_MINUTES = tuple(f"T{n // 60:02d}:{n % 60:02d}:" for n in range(1440))


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return (EPOCH.date() + timedelta(days=days)).isoformat()


# All stations share their times, and what is asked for is asked for again.
@lru_cache(maxsize=16_384)
def format_instant(milliseconds: int) -> str:
    """Write a time in the API's fixed width: `2016-10-01T00:00:00.004Z`."""
    minutes, rest = divmod(milliseconds, 60_000)
    days, minute = divmod(minutes, 1440)
    return _day(days) + _MINUTES[minute] + _SECONDS[rest]


def month_of(milliseconds: int) -> date:
    """Return the first day of the month, in UTC, in which a time lies."""
    return to_datetime(milliseconds).date().replace(day=1)


def start_of(day: date) -> int:
    """Return the first moment of a day, in UTC."""
    return (day - EPOCH.date()).days * 86_400_000


def next_month(month: date) -> date:
    """Return the first day of the month that follows the one of a date."""
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)
