"""The transaction of a load: its measurements enter all together or not at all.

A month's partition is made in a short transaction of its own: PostgreSQL does not tie the attaching of
a partition to the snapshots of readers, so that one that is attached together with its rows can come to
light behind the load's other rows. The first load of a month copies its rows straight into the bare
partition and builds its indexes once the file has left the month behind, which takes half the time of
keeping indexes up to date. Rows of any other month are staged, and merged at the end, where what they
replace is kept for an undo. A file that repeats a station and time breaks the first way by the
partition's key; the load then starts over and stages everything, because only the whole of a file can
tell which of its rows comes last.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import asyncpg
import numpy as np
import numpy.typing as npt

from airq.domain.instants import next_month, start_of
from airq.domain.pollutants import NAMES
from airq.store.connections import to_codec
from airq.store.copy_format import encode_rows
from airq.store.coverage import Touches, record_touched
from airq.store.ledger import Connection, LoadFailed

PARTITION_LOCK_TIMEOUT = "2s"
PARTITION_TRIES = 15


class RepeatedRows(Exception):
    """The file holds a station and time twice, so that its rows must all be staged."""


class Rows(Protocol):
    """n measurements, as `airq.ingest.reader.Batch` has them."""

    @property
    def lines(self) -> npt.NDArray[np.int64]:
        """Line numbers."""

    @property
    def stations(self) -> npt.NDArray[np.int64]:
        """Indices into a list of names."""

    @property
    def times(self) -> npt.NDArray[np.int64]:
        """Milliseconds since 1970."""

    @property
    def values(self) -> dict[str, npt.NDArray[np.float64]]:
        """Pollutant → values, NaN where there is none."""


@dataclass(frozen=True)
class Counts:
    """What became of a load's good rows."""

    inserted: int
    changed: int
    unchanged: int
    repeated: int


@dataclass
class Transfer:
    """One attempt at a load.

    Args:
        book: the connection on which partitions are made, in transactions of their own.
        data: the connection whose transaction takes the measurements.
        load_id: the load's number in the ledger.
        stage_all: stage every row, because the file repeats some.
    """

    book: Connection
    data: Connection
    load_id: int
    stage_all: bool = False
    _station_ids: list[int] = field(default_factory=list)
    _indexed: dict[date, bool] | None = None
    """Months that have a partition → whether it has its indexes by now."""
    _direct: set[date] = field(default_factory=set)
    """Months whose rows are copied straight into their partition."""
    _staged_months: set[date] = field(default_factory=set)
    _inserted: Touches = field(default_factory=Counter)
    _changed: Touches = field(default_factory=Counter)
    _staged_columns: tuple[str, ...] | None = None
    _staged: int = 0
    _merged: int = 0
    _at_work: asyncio.Task[Any] | None = None

    async def add(self, rows: Rows, stations: Sequence[str]) -> None:
        """Send measurements; `rows.stations` are indices into `stations`, which may have grown.

        Raises:
            RepeatedRows: the transaction is lost; start over with `stage_all`.
            LoadFailed: another session keeps a month's partition from being made.
        """
        if not len(rows.times):
            return
        async with self._told_repeats():
            await self._resolve(stations)
            station_ids = np.array(self._station_ids, np.int64)[rows.stations]
            months = rows.times.astype("datetime64[ms]").astype("datetime64[M]")
            first, last = months.min(), months.max()
            if first == last:
                here = {first.astype(date)}
                await self._add_month(first.astype(date), slice(None), station_ids, rows)
            else:
                order = np.argsort(months, kind="stable")
                found, starts = np.unique(months[order], return_index=True)
                here = {month.astype(date) for month in found}
                for month, places in zip(found, np.split(order, starts[1:]), strict=True):
                    await self._add_month(month.astype(date), places, station_ids, rows)
            # A file in the order of time is through with a month when it goes on to the next: its
            # indexes are built while the following rows are still being read.
            await self._index(self._direct - here)

    async def _resolve(self, stations: Sequence[str]) -> None:
        """Learn the keys of the stations that are new in the file; make those new to the database."""
        new = list(stations[len(self._station_ids) :])
        if not new:
            return
        await self._settle()
        await self.data.execute(
            "INSERT INTO airq.station (name) SELECT n FROM unnest($1::text[]) WITH ORDINALITY u(n, o) "
            "WHERE NOT EXISTS (SELECT FROM airq.station known WHERE known.name = n) ORDER BY o",
            new,
        )
        rows = await self.data.fetch("SELECT name, id FROM airq.station WHERE name = ANY($1::text[])", new)
        ids = dict(map(tuple, rows))
        self._station_ids += [ids[name] for name in new]

    async def _add_month(
        self,
        month: date,
        places: slice | npt.NDArray[np.int64],
        station_ids: npt.NDArray[np.int64],
        rows: Rows,
    ) -> None:
        if self._indexed is None:
            self._indexed = await _partitions(self.book)
        if month not in self._indexed:
            await self._make_partition(month)
            self._indexed[month] = False
        keys, times = station_ids[places], rows.times[places]
        values = [rows.values[name][places] for name in rows.values]
        if self.stage_all or (self._indexed[month] and month not in self._direct):
            self._staged_months.add(month)
            await self._stage(tuple(rows.values), rows.lines[places], keys, times, values)
            return
        self._direct.add(month)
        load_ids = np.full(len(keys), self.load_id, np.int64)
        payload = await asyncio.to_thread(encode_rows, [(keys, 4), (load_ids, 4)], times, values)
        columns = ("station_id", "load_id", "time", *rows.values)
        await self._copy(f"measurement_{month:%Y_%m}", "airq", columns, payload)
        for station_id, count in zip(*np.unique(keys, return_counts=True), strict=True):
            self._inserted[int(station_id), month] += int(count)

    async def _make_partition(self, month: date) -> None:
        for _ in range(PARTITION_TRIES):
            try:
                async with self.book.transaction():
                    await self.book.execute(f"SET LOCAL lock_timeout = '{PARTITION_LOCK_TIMEOUT}'")
                    await self.book.execute("SELECT airq.add_partition($1)", month)
                return
            except asyncpg.LockNotAvailableError:
                continue
        raise LoadFailed(
            f"another session holds a lock on the measurements ({PARTITION_TRIES} tries of "
            f"{PARTITION_LOCK_TIMEOUT}); nothing of this load is visible; "
            "see pg_stat_activity and load again"
        )

    async def _index(self, months: Set[date]) -> None:
        """Build the indexes of those partitions that have none."""
        assert self._indexed is not None
        for month in sorted(months):
            if not self._indexed[month]:
                await self._in_turn(self.data.execute("SELECT airq.index_partition($1)", month))
                self._indexed[month] = True

    async def _stage(
        self,
        names: tuple[str, ...],
        lines: npt.NDArray[np.int64],
        keys: npt.NDArray[np.int64],
        times: npt.NDArray[np.int64],
        values: list[npt.NDArray[np.float64]],
    ) -> None:
        if self._staged_columns is None:
            self._staged_columns = names
            columns = ", ".join(f"{name} double precision" for name in names)
            await self._settle()
            await self.data.execute(
                "CREATE TEMPORARY TABLE staged (line bigint NOT NULL, station_id integer NOT NULL, "
                f"time timestamptz NOT NULL, {columns}) ON COMMIT DROP"
            )
        payload = await asyncio.to_thread(encode_rows, [(lines, 8), (keys, 4)], times, values)
        await self._copy("staged", None, ("line", "station_id", "time", *names), payload)
        self._staged += len(lines)

    async def _copy(self, table: str, schema: str | None, columns: Sequence[str], payload: bytes) -> None:
        await self._in_turn(
            self.data.copy_to_table(
                table,
                schema_name=schema,
                columns=columns,
                source=memoryview(payload),
                format="binary",
            )
        )

    async def _in_turn(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin a piece of the database's work as soon as the one before it is done.

        While the database is at it, the next rows are read and packed. A fault shows at the next call.
        """
        try:
            await self._settle()
        except BaseException:
            work.close()
            raise
        self._at_work = asyncio.create_task(work)

    async def _settle(self) -> None:
        """Wait until the database has nothing to do."""
        if self._at_work is not None:
            task, self._at_work = self._at_work, None
            await task

    async def abandon(self) -> None:
        """Stop what the database is at; the transaction is lost."""
        if self._at_work is not None:
            self._at_work.cancel()
            with suppress(BaseException):
                await self._at_work

    async def complete(self) -> Counts:
        """Merge what was staged, and enter what was touched."""
        async with self._told_repeats():
            if months := self._direct | self._staged_months:  # None where every row was rejected.
                await self._index(months)
            await self._settle()
            repeated = await self._merge() if self._staged_columns else 0
            inserted, changed = self._inserted.total(), self._changed.total()
            unchanged = self._staged - repeated - self._merged
            await record_touched(self.data, self.load_id, self._inserted, self._changed)
            return Counts(inserted, changed, unchanged, repeated)

    async def _merge(self) -> int:
        """Merge the staged rows into the table; return how many a later row of the file repeats."""
        assert self._staged_columns
        await self.data.execute("SET LOCAL work_mem = '128MB'")
        await self.data.execute(
            """
            CREATE TEMPORARY TABLE repeated ON COMMIT DROP AS
                SELECT line, last FROM (
                    SELECT line, max(line) OVER (PARTITION BY station_id, time) AS last FROM staged
                ) AS ranked WHERE line < last
            """
        )
        count: int = await self.data.fetchval("SELECT count(*) FROM repeated")
        if count:
            await self.data.execute("DELETE FROM staged USING repeated WHERE staged.line = repeated.line")
        if len(self._staged_months) > 1:
            await self.data.execute("CREATE INDEX ON staged (time)")
        await self.data.execute("ANALYZE staged")
        for month in sorted(self._staged_months):
            await self._merge_month(month, self._staged_columns)
        return count

    async def _merge_month(self, month: date, names: tuple[str, ...]) -> None:
        columns = ", ".join(names)
        merged = await self.data.fetch(
            f"""
            WITH merged AS (
                INSERT INTO airq.measurement_{month:%Y_%m} AS stored (time, station_id, load_id, {columns})
                SELECT time, station_id, $1, {columns} FROM staged
                WHERE time >= $2 AND time < $3 ORDER BY time, station_id
                ON CONFLICT (station_id, time) DO UPDATE SET load_id = $1,
                    {", ".join(f"{name} = excluded.{name}" for name in names)}
                WHERE ({", ".join(f"stored.{name}" for name in names)})
                    IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in names)})
                RETURNING new.time, new.station_id, old.load_id AS replaced,
                    {", ".join(f"old.{name}" for name in NAMES)}
            ), kept AS (
                INSERT INTO airq.replaced_measurement
                    (time, station_id, load_id, replaced_by, {", ".join(NAMES)})
                SELECT time, station_id, replaced, $1, {", ".join(NAMES)}
                FROM merged WHERE replaced IS NOT NULL
            )
            SELECT station_id, count(*) FILTER (WHERE replaced IS NULL), count(replaced)
            FROM merged GROUP BY station_id
            """,
            self.load_id,
            to_codec(start_of(month)),
            to_codec(start_of(next_month(month))),
        )
        for station_id, inserted, changed in merged:
            self._merged += inserted + changed
            if inserted:
                self._inserted[station_id, month] += inserted
            if changed:
                self._changed[station_id, month] += changed

    @asynccontextmanager
    async def _told_repeats(self) -> AsyncIterator[None]:
        try:
            yield
        except asyncpg.UniqueViolationError:
            if self.stage_all:  # No row of a file enters twice this way, so it is none of its.
                raise
            raise RepeatedRows from None

    async def repeated_lines(self) -> AsyncGenerator[tuple[int, int]]:
        """Return, by line, each row that a later one of the file repeats, and the last such line."""
        if self._staged_columns is None:
            return
        async for line, last in self.data.cursor("SELECT line, last FROM repeated ORDER BY line"):
            yield line, last


async def _partitions(connection: Connection) -> dict[date, bool]:
    """Return the months that have a partition, and whether it has its indexes."""
    rows = await connection.fetch(
        "SELECT relname, EXISTS (SELECT FROM pg_index WHERE indrelid = inhrelid) "
        "FROM pg_inherits JOIN pg_class ON oid = inhrelid "
        "WHERE inhparent = 'airq.measurement'::regclass"
    )
    return {
        date.fromisoformat(f"{name.removeprefix('measurement_').replace('_', '-')}-01"): indexed
        for name, indexed in rows
    }
