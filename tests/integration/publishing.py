"""What a publisher does with a database, and what is true of it afterwards, for the tests of loading."""

import asyncio
import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from airq import loads
from airq.domain.instants import format_instant
from airq.domain.pollutants import NAMES
from airq.domain.tolerance import Tolerance
from airq.ingest.sources import open_source
from airq.store.ledger import Load, RejectedRow
from airq.store.verification import digests
from tests.conftest import Database

HEADER = "TimeInstant,id_entity,so2,no2,co,o3,pm10,pm2_5"

Measurements = dict[tuple[str, str], tuple[float | None, ...]]
"""(time as the API writes it, station) → the six values, in the order of `NAMES`."""


@dataclass
class Said:
    """Remembers what a load said on its way."""

    notices: list[str] = field(default_factory=list)
    rows: int = 0
    byte_count: int = 0
    restarts: int = 0

    def read(self, byte_count: int) -> None:
        self.byte_count += byte_count

    def sent(self, rows: int) -> None:
        self.rows = rows

    def restart(self) -> None:
        self.byte_count = self.rows = 0
        self.restarts += 1

    def notice(self, message: str) -> None:
        self.notices.append(message)


@dataclass(frozen=True)
class Publisher:
    """Loads files into one database, in this process, as the loader's role."""

    database: Database
    directory: Path
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def write(self, *rows: str, header: str = HEADER) -> Path:
        """Make a file of a header and rows."""
        path = self.directory / f"file-{next(self._numbers)}.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        return path

    def load(
        self,
        *rows: str,
        path: Path | None = None,
        header: str = HEADER,
        tolerance: Tolerance | None = None,
        missing: Sequence[float | str] = loads.Options.missing,
        timezone: tzinfo = loads.Options.timezone,
        said: Said | None = None,
    ) -> Load:
        """Load a file, or one made of a header and rows; return the ledger's entry."""
        options = loads.Options(timezone, missing, tolerance or Tolerance())
        place = path or self.write(*rows, header=header)
        with open_source(str(place), io.BytesIO()) as source:
            return asyncio.run(loads.load(self.database.loader, source, options, said or Said()))

    def refuse(self, *rows: str, **options: Any) -> Load:
        """Load a file that must be refused; return the ledger's entry."""
        try:
            entry = self.load(*rows, **options)
        except loads.Refused as refusal:
            return refusal.load
        raise AssertionError(f"not refused: {entry}")

    def undo(self, number: int) -> Load:
        """Take a load back; return the undo's own entry."""
        return asyncio.run(loads.undo_load(self.database.loader, number, Said()))

    def ledger(self, number: int) -> Load:
        """Return the ledger's entry of a load."""
        return asyncio.run(loads.read_load(self.database.loader, number, 1))[0]

    def newest(self) -> Load:
        """Return the ledger's newest entry."""
        return asyncio.run(loads.read_loads(self.database.loader, 1))[0]

    def rejects(self, number: int) -> list[RejectedRow]:
        """Return the rejected rows of a load."""
        return asyncio.run(loads.read_rejects(self.database.loader, number, 1000))

    def contents(self) -> Measurements:
        """Return all that a reader sees, after the checks that hold of every database."""
        check_books(self.database)
        return read_contents(self.database)

    def content(self) -> object:
        """Return digests of all contents, which equal those of any database with the same ones."""
        return asyncio.run(digests(self.database.reader, by_station=True))


def read_contents(database: Database) -> Measurements:
    """Return every measurement of a database."""
    rows = database.fetch(
        "SELECT time, name, " + ", ".join(NAMES) + " FROM airq.measurement "
        "JOIN airq.station ON station.id = station_id ORDER BY time, name"
    )
    found: Measurements = {}
    for time, name, *values in rows:
        assert isinstance(time, datetime)
        assert time.microsecond % 1000 == 0
        milliseconds = round(time.timestamp() * 1000)
        found[format_instant(milliseconds), str(name)] = tuple(values)  # type: ignore[arg-type]
    assert len(found) == len(rows)
    return found


def check_books(database: Database) -> None:
    """Check what is true after any sequence of loads and undos, however they ended."""
    # The counts that the API trusts are those of the rows, of each station and month and in sum.
    counted = database.fetch(
        """
        SELECT coalesce(station_id, 0), coalesce(month, '-infinity'), count(*) FROM (
            SELECT station_id, date_trunc('month', time AT TIME ZONE 'UTC')::date AS month
            FROM airq.measurement) AS rows
        GROUP BY CUBE (station_id, month) HAVING count(*) > 0 ORDER BY 1, 2
        """
    )
    covered = database.fetch(
        "SELECT station_id, month, measurements FROM airq.coverage WHERE measurements <> 0 ORDER BY 1, 2"
    )
    assert covered == counted
    # A coarse row's version is the newest one of what it sums up.
    assert (
        database.fetch(
            """
        SELECT coarse.station_id, coarse.month FROM airq.coverage coarse
        WHERE version IS DISTINCT FROM (
            SELECT max(version) FROM airq.coverage fine
            WHERE fine.station_id <> 0 AND fine.month <> '-infinity'
                AND coarse.station_id IN (0, fine.station_id)
                AND coarse.month IN ('-infinity', fine.month))
        """
        )
        == []
    )
    # What a load touched adds up to what it says, and to what is there.
    assert (
        database.fetch(
            """
        SELECT load.id FROM airq.load LEFT JOIN airq.load_month ON load_id = load.id
        WHERE kind = 'load' GROUP BY load.id
        HAVING (load.inserted, load.changed) IS DISTINCT FROM
            (coalesce(sum(load_month.inserted), 0), coalesce(sum(load_month.changed), 0))
        """
        )
        == []
    )
    assert (
        database.fetch(
            """
        SELECT id FROM airq.load WHERE outcome IN ('loaded', 'unchanged') AND kind = 'load'
            AND rows_read <> inserted + changed + unchanged + repeated + rejected
        """
        )
        == []
    )
    assert (
        database.fetch(
            """
        SELECT id FROM airq.load WHERE outcome IN ('loaded', 'unchanged') AND rejected + repeated <>
            (SELECT count(*) FROM airq.rejected_row WHERE load_id = load.id)
        """
        )
        == []
    )
    # No half-made partition is left, and no load says that it runs.
    assert (
        database.fetch(
            """
        SELECT relname FROM pg_class WHERE relnamespace = 'airq'::regnamespace AND relkind = 'r'
            AND relname LIKE 'measurement_%' AND NOT relispartition
        """
        )
        == []
    )
    assert database.fetch("SELECT id FROM airq.load WHERE outcome = 'running'") == []


def versions(database: Database) -> dict[tuple[object, object], int]:
    """Return the version of each station and month, 0 and -infinity standing for all."""
    rows = database.fetch("SELECT station_id, month::text, version FROM airq.coverage")
    return {(station, month): int(str(version)) for station, month, version in rows}


def row(time: str, station: str, *values: float | str | None) -> str:
    """Write a row of a file; values left out are empty cells."""
    cells = ["" if value is None else str(value) for value in values]
    return ",".join((time, station, *cells, *[""] * (len(NAMES) - len(cells))))


def values(*given: float | None) -> tuple[float | None, ...]:
    """Return the values of a measurement; those left out are missing."""
    return (*given, *[None] * (len(NAMES) - len(given)))


def same_doubles(ours: Iterable[float | None], theirs: Iterable[float | None]) -> bool:
    """Whether two rows hold the same doubles, bit by bit."""

    def exact(value: float | None) -> str:
        return "" if value is None else value.hex()

    return [*map(exact, ours)] == [*map(exact, theirs)]
