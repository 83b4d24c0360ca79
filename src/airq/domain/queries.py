"""What a consumer asks for, in one canonical form whatever the spelling."""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Literal
from urllib.parse import quote

from airq.domain.instants import format_instant, month_of, next_month
from airq.domain.pollutants import NAMES

Order = Literal["asc", "desc"]
Format = Literal["json", "csv", "ndjson"]

DEFAULT_LIMIT, LARGEST_LIMIT = 1_000, 10_000


def default_limit(form: Format) -> int | None:
    """Return the limit of a query that names none: exports have all rows."""
    return DEFAULT_LIMIT if form == "json" else None


@dataclass(frozen=True)
class TimeRange:
    """Times from `start` up to, not including, `end`, in milliseconds since 1970; None is open."""

    start: int | None = None
    end: int | None = None

    @cached_property
    def months(self) -> list[date] | None:
        """The first day of each month that the range touches; None if an end is open."""
        if self.start is None or self.end is None:
            return None
        months, month = [], month_of(self.start)
        while month <= month_of(max(self.end - 1, self.start)):
            months.append(month)
            month = next_month(month)
        return months


@dataclass(frozen=True)
class Cursor:
    """The place behind one measurement in a listing: its time and station.

    The text form is opaque to clients and bound to the filters that it came from, so that a cursor can
    never silently continue a different listing.
    """

    time: int
    station: str

    _HEAD = struct.Struct(">B4sq")
    _VERSION = 1

    def encode(self, filters: str) -> str:
        """Return the cursor as URL-safe text, bound to a canonical text of its filters."""
        head = self._HEAD.pack(self._VERSION, _digest(filters), self.time)
        return base64.urlsafe_b64encode(head + self.station.encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, filters: str) -> "Cursor":
        """Read a cursor back.

        Raises:
            ForeignCursor: it was made for other filters.
            ValueError: it is not a cursor that airq made.
        """
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, digest, time = cls._HEAD.unpack_from(data)
            cursor = cls(time, data[cls._HEAD.size :].decode())
            # Only the canonical spelling is taken, so that no two texts mean one place.
            known = version == cls._VERSION and cursor.station and bool(format_instant(time))
            spelled_so = base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text
        except (binascii.Error, struct.error, UnicodeDecodeError, OverflowError, ValueError):
            raise ValueError("not a cursor") from None
        if not (known and spelled_so):
            raise ValueError("not a cursor")
        if digest != _digest(filters):
            raise ForeignCursor
        return cursor


class ForeignCursor(ValueError):
    """A cursor was sent with other filters than those that it was made for."""


def _digest(filters: str) -> bytes:
    return hashlib.sha256(filters.encode()).digest()[:4]


@dataclass(frozen=True)
class Query:
    """A listing of measurements.

    Args:
        stations: names, sorted, each once; empty means all.
        pollutants: names in the canonical order; never empty.
        range: the times asked for.
        order: by time, then station, ascending or descending.
        limit: the most rows of a page; None is every row (exports only).
        cursor: continue behind this place.
        format: the representation.
    """

    stations: tuple[str, ...] = ()
    pollutants: tuple[str, ...] = NAMES
    range: TimeRange = TimeRange()
    order: Order = "asc"
    limit: int | None = DEFAULT_LIMIT
    cursor: Cursor | None = None
    format: Format = "json"

    def filters(self) -> str:
        """Return the canonical text of what selects and orders rows: what a cursor is bound to."""
        return "&".join(
            [f"station={quote(station, safe='')}" for station in self.stations]
            + ([f"from={format_instant(self.range.start)}"] if self.range.start is not None else [])
            + ([f"to={format_instant(self.range.end)}"] if self.range.end is not None else [])
            + (["order=desc"] if self.order == "desc" else [])
        )

    def canonical(self) -> str:
        """Return the one query string that every spelling of this query shares; defaults left out."""
        parts = [
            self.filters(),
            *(f"pollutant={name}" for name in self.pollutants if len(self.pollutants) < len(NAMES)),
            f"limit={self.limit}" if self.limit != default_limit(self.format) else "",
            f"cursor={self.cursor.encode(self.filters())}" if self.cursor else "",
            f"format={self.format}" if self.format != "json" else "",
        ]
        return "&".join(part for part in parts if part)

    def behind(self, time: int, station: str) -> "Query":
        """Return the query of the page that follows a measurement."""
        return replace(self, cursor=Cursor(time, station))
