"""Measurements made by hand, and a simple model of what the API has to answer about them."""

import csv
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

POLLUTANTS = ("so2", "no2", "co", "o3", "pm10", "pm2_5")
UNITS = dict.fromkeys(POLLUTANTS, "µg/m³") | {"co": "mg/m³"}
STATIONS = (
    "Zulu", "aq plain", "aq_plain", "comma, name", 'quo"te', "sla/sh", "per%cent", "plus+and&eq=", "#hash?",
    "semi;colon", "=sum", "it's", "évora", "ÿ", "日本", "😀",
)  # fmt: skip
"""Names that a careless URL, CSV or sort would spoil."""


@dataclass(frozen=True)
class Row:
    """A measurement; `at` is in UTC, values in the order of `POLLUTANTS`."""

    at: datetime
    station: str
    values: tuple[float | None, ...]

    @property
    def key(self) -> tuple[datetime, bytes]:
        """What listings are ordered by: time, then the name's bytes."""
        return self.at, self.station.encode()

    def shown(self, pollutants: Iterable[str] = POLLUTANTS) -> dict[str, Any]:
        """Return the row as JSON answers have it."""
        by_name = dict(zip(POLLUTANTS, self.values, strict=True))
        wanted = set(pollutants)
        return {"timestamp": spelled(self.at), "station": self.station} | {
            name: by_name[name] for name in POLLUTANTS if name in wanted
        }


def spelled(at: datetime) -> str:
    """Return a time as the API writes it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(text: str) -> datetime:
    """Read a time in UTC with the API's precision."""
    at = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def hand_made() -> list[Row]:
    """Return rows with many equal times, single ones, nulls and unusual doubles, in months by the dozen."""
    doubles = (0.1, 5e-324, 1e22, 1 / 3, 123456789.12345679, 0.0, 7.0, 2.5e-7)
    rows = []
    moments = [
        *(datetime(2015, 12, 31, 23, 59, 59, 999_000, UTC) + timedelta(milliseconds=n) for n in range(3)),
        datetime(2016, 2, 29, 12, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_000, UTC),
        datetime(2024, 7, 1, tzinfo=UTC),
    ]
    for number, at in enumerate(moments):
        for place, station in enumerate(STATIONS):
            if (number + place) % 5 == 4:
                continue
            values = tuple(
                None if (number + place + column) % 4 == 0 else doubles[(number * place + column) % 8]
                for column in range(6)
            )
            rows.append(Row(at, station, values))
    start = datetime(2016, 3, 1, tzinfo=UTC)
    for number in range(40):
        station = STATIONS[number * 7 % len(STATIONS)]
        at = start + timedelta(minutes=number // 3, milliseconds=number // 3)
        rows.append(Row(at, station, (float(number), None, None, number / 7, None, None)))
    rows.append(Row(datetime(2016, 3, 2, tzinfo=UTC), "évora", (None,) * 5 + (1.5,)))
    # So many months that a page is no longer looked for in all of them at once.
    for number in range(40):
        at = datetime(2017 + number // 12, number % 12 + 1, 1, tzinfo=UTC)
        rows.append(Row(at, STATIONS[number % len(STATIONS)], (None, number / 3, None, None, None, None)))
    return sorted(rows, key=lambda row: row.key)


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write rows as a file to load, not in their order."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["TimeInstant", "id_entity", *POLLUTANTS])
        for row in sorted(rows, key=lambda row: (row.at, zlib.crc32(row.station.encode()))):
            cells = ["" if value is None else repr(value) for value in row.values]
            writer.writerow([spelled(row.at), row.station, *cells])


def read_csv(path: Path) -> list[Row]:
    """Read the real file's rows in the order of listings."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            Row(
                datetime.fromisoformat(line["TimeInstant"]).replace(tzinfo=UTC),
                line["id_entity"],
                tuple(float(line[name]) if line[name] else None for name in POLLUTANTS),
            )
            for line in csv.DictReader(file)
        ]
    return sorted(rows, key=lambda row: row.key)


def select(
    rows: Iterable[Row],
    stations: Iterable[str] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    descending: bool = False,
) -> list[Row]:
    """Return what a query asks for, in its order."""
    wanted = set(stations)
    found = [
        row
        for row in rows
        if (not wanted or row.station in wanted)
        and (start is None or row.at >= start)
        and (end is None or row.at < end)
    ]
    return sorted(found, key=lambda row: row.key, reverse=descending)
