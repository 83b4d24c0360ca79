"""Points in time: integer milliseconds since 1970-01-01T00:00:00Z, read and written.

Milliseconds are the precision that airq promises. Finer digits of a file or a query are cut off, never
rounded up, so that a time never moves into the next hour, day or month.
"""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_YEAR, LATEST_YEAR = 1900, 2100
"""Years outside of this range are typing errors, and each would cost a partition."""

_DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)
_FORM = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d|\d{4}/\d\d/\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:[.,](?P<fraction>\d{1,9}))?"
    r"(?P<zone> ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?)?",
    re.ASCII | re.IGNORECASE,
)


class UnreadableInstant(ValueError):
    """A text is not a point in time in one of the forms that airq reads."""


def parse_instant(text: str, timezone: tzinfo = UTC, *, date_alone: bool = False) -> int:
    """Read a time of ISO 8601's form (or with `/` in the date, or a space for the `T`).

    Args:
        text: for instance `2016-10-01 00:00:00.004`, `2016-10-01T02:00+02:00`.
        timezone: where a time without a zone was read.
        date_alone: also take `2016-10-01`, which means its midnight.

    Returns:
        Milliseconds since 1970-01-01T00:00:00Z; finer digits are cut off.

    Raises:
        UnreadableInstant: the text has another form, names a time that does not exist, or, in a
            zone with summer time, one that happened twice.
    """
    text = text.strip()
    form = _FORM.fullmatch(text)
    if form is None or (form["time"] is None and not date_alone):
        raise UnreadableInstant("not a time of the form 2016-10-01T00:00:00.000Z")
    fraction = (form["fraction"] or "").ljust(3, "0")[:3]
    clock = form["time"] or "00:00"
    if clock.startswith("24:00") and int(clock.replace(":", "") + fraction) in (2400000, 240000000):
        # ISO 8601's end of a day, which some networks write for their last hour.
        midnight = parse_instant(form["date"], timezone, date_alone=True)
        next_day = EPOCH + timedelta(milliseconds=midnight) + _DAY
        if form["zone"] is None and timezone is not UTC:
            raise UnreadableInstant("24:00 needs a zone of its own; write 00:00 of the next day")
        offset = _offset(form["zone"]) if form["zone"] else timedelta()
        return (next_day - EPOCH - offset) // _MILLISECOND
    try:
        local = datetime.fromisoformat(f"{form['date'].replace('/', '-')}T{clock}")
        offset = _offset(form["zone"]) if form["zone"] else _local_offset(local, timezone)
    except UnreadableInstant:
        raise
    except ValueError as error:
        raise UnreadableInstant(f"no such time: {error}") from None
    if not EARLIEST_YEAR <= local.year < LATEST_YEAR:
        raise UnreadableInstant(f"the year is outside of {EARLIEST_YEAR} to {LATEST_YEAR - 1}")
    elapsed = local.replace(tzinfo=UTC) - offset - EPOCH
    return elapsed // _MILLISECOND + int(fraction)


def _offset(zone: str) -> timedelta:
    zone = zone.strip().upper()
    if zone in ("Z", "UTC"):
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise UnreadableInstant(f"no such zone offset: {zone}")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def _local_offset(local: datetime, timezone: tzinfo) -> timedelta:
    if timezone is UTC:
        return timedelta()
    earlier = local.replace(tzinfo=timezone, fold=0)
    offset, later_offset = earlier.utcoffset(), earlier.replace(fold=1).utcoffset()
    assert offset is not None
    assert later_offset is not None
    if offset > later_offset:
        raise UnreadableInstant(f"happened twice in {timezone} (clocks went back); write its offset")
    if offset < later_offset:
        raise UnreadableInstant(f"did not happen in {timezone} (clocks went forward)")
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


@lru_cache(maxsize=4096)
def _minute(minutes: int) -> str:
    return (EPOCH + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:")


def format_instant(milliseconds: int) -> str:
    """Write a time in the API's fixed width: `2016-10-01T00:00:00.004Z`."""
    minutes, rest = divmod(milliseconds, 60_000)
    return _minute(minutes) + _SECONDS[rest]


def month_of(milliseconds: int) -> date:
    """Return the first day of the month, in UTC, in which a time lies."""
    return to_datetime(milliseconds).date().replace(day=1)


def next_month(month: date) -> date:
    """Return the first day of the month that follows the one of a date."""
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)
