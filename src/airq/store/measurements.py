"""What the API reads: one statement a page, with the version of the data that it shows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import asyncpg

from airq.domain.queries import Query
from airq.domain.stations import Station
from airq.store.connections import (
    CONNECT_TIMEOUT_SECONDS,
    DatabaseUnavailable,
    from_codec,
    set_codecs,
    to_codec,
    translated_faults,
)
from airq.store.migrator import NEEDED_SCHEMA, schema_revision

EXPORT_CHUNK_ROWS = 5_000
ACQUIRE_TIMEOUT_SECONDS = 5.0

Row = tuple[Any, ...]
"""`(time in milliseconds since 1970, station, *values)`; a missing value is None."""


@dataclass(frozen=True)
class Page:
    """Measurements in their order, and the version of the data they come from.

    Args:
        version: of the asked stations and months; 0 where they hold nothing.
        rows: `(time, station, *values)`, time in milliseconds since 1970, values or None; None
            instead of a list where the client's version is still the current one.
        more: whether further rows follow.
    """

    version: int
    rows: list[tuple[Any, ...]] | None
    more: bool


@dataclass(frozen=True)
class Freshness:
    """What the metrics tell of the data; times in milliseconds since 1970."""

    newest: int | None
    measurements: int
    stations: int
    loads: dict[str, int]
    last_load: int | None


@dataclass
class Measurements:
    """Reads measurements from a pool of connections.

    Args:
        url: the database as the API reaches it.
        pool_size: the most connections.
        statement_timeout_seconds: after which a statement is ended; 0 for never.
    """

    url: str
    pool_size: int
    statement_timeout_seconds: float
    _pool: asyncpg.Pool | None = None
    _names: dict[int, str] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)

    async def open(self) -> None:
        """Make the pool; it connects when it is first asked, so that the database may come later."""
        timeout = round(self.statement_timeout_seconds * 1000)
        self._pool = await asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self.pool_size,
            init=set_codecs,
            timeout=CONNECT_TIMEOUT_SECONDS,
            max_inactive_connection_lifetime=300,
            server_settings={
                "application_name": "airq serve",
                "default_transaction_read_only": "on",
                "statement_timeout": str(timeout),
                # A client that stops reading an export must not hold back the database's cleaning.
                "idle_in_transaction_session_timeout": "60s",
                # Pages are short: compiling a plan costs more than it saves.
                "jit": "off",
            },
        )

    async def close(self) -> None:
        """Close the pool; connections in use are ended."""
        if self._pool is not None:
            self._pool.terminate()

    @property
    def pool_state(self) -> tuple[int, int]:
        """Connections that are open, and how many of them are idle."""
        if self._pool is None:
            return 0, 0
        return self._pool.get_size(), self._pool.get_idle_size()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        if self._pool is None:
            raise DatabaseUnavailable("the pool is not open")
        async with (
            translated_faults(),
            self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection,
        ):
            yield connection

    async def check(self) -> str | None:
        """Return why the database can't serve this version of airq, or None if it can.

        Raises:
            DatabaseUnavailable: it can't be reached.
        """
        async with self._connection() as connection:
            revision = await schema_revision(connection)
        if revision is None or revision < NEEDED_SCHEMA:
            return f"its schema is at {revision or 'nothing'}; {NEEDED_SCHEMA} is needed: airq migrate"
        return None

    async def unknown_stations(self, names: Sequence[str]) -> list[str]:
        """Return the names that no station has."""
        if any(name not in self._ids for name in names):
            await self._learn_stations()
        return [name for name in names if name not in self._ids]

    async def _learn_stations(self) -> None:
        async with self._connection() as connection:
            rows = await connection.fetch("SELECT id, name FROM airq.station")
        self._names = dict(map(tuple, rows))
        self._ids = {name: number for number, name in self._names.items()}

    async def page(self, query: Query, known_versions: Sequence[int] = ()) -> Page:
        """Read one page.

        Args:
            query: with a limit; its stations must be known.
            known_versions: what the client has; if one is current, no measurement is read.
        """
        assert query.limit is not None
        async with self._connection() as connection:
            return await self._page(connection, query, query.limit, known_versions)

    @asynccontextmanager
    async def export(self, query: Query) -> AsyncIterator[AsyncIterator[list[tuple[Any, ...]]]]:
        """Read all rows of a query from one snapshot, in chunks."""

        async def chunks(connection: asyncpg.Connection) -> AsyncIterator[list[tuple[Any, ...]]]:
            left, at = query.limit, query
            while left is None or left > 0:
                size = EXPORT_CHUNK_ROWS if left is None else min(EXPORT_CHUNK_ROWS, left)
                page = await self._page(connection, at, size, ())
                assert page.rows is not None
                if page.rows:
                    yield page.rows
                    at = query.behind(page.rows[-1][0], page.rows[-1][1])
                if not page.more:
                    return
                left = None if left is None else left - size

        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield chunks(connection)

    async def version(self, query: Query) -> int:
        """Return the version of the data that a query asks for."""
        async with self._connection() as connection:
            version: int = await connection.fetchval(_VERSION, *self._version_arguments(query))
            return version

    def _version_arguments(self, query: Query) -> tuple[list[int], list[date]]:
        stations = [self._ids[name] for name in query.stations] or [0]
        return stations, query.range.months() or [date.min]

    async def _page(
        self,
        connection: asyncpg.Connection,
        query: Query,
        limit: int,
        known_versions: Sequence[int],
    ) -> Page:
        descending = query.order == "desc"
        arguments: list[Any] = [*self._version_arguments(query), list(known_versions)]

        def bind(value: object) -> str:
            arguments.append(value)
            return f"${len(arguments)}"

        conditions = []
        if query.stations:
            ids = [self._ids[name] for name in query.stations]
            conditions.append(
                f"station_id = {bind(ids[0])}" if len(ids) == 1 else f"station_id = ANY({bind(ids)})"
            )
        lower, upper = query.range.start, query.range.end
        if query.cursor is not None:
            # Rows at the cursor's own time follow where their station's name comes behind it.
            if not self._names:
                await self._learn_stations()
            time, station = query.cursor.time, query.cursor.station
            behind = [
                number
                for number, name in self._names.items()
                if (name < station if descending else name > station)
            ]
            comparison = "<" if descending else ">"
            at = bind(to_codec(time))
            conditions.append(f"(time {comparison} {at} OR station_id = ANY({bind(behind)}))")
            if descending:
                upper = time + 1 if upper is None else min(upper, time + 1)
            else:
                lower = time if lower is None else max(lower, time)
        if lower is not None:
            conditions.append(f"time >= {bind(to_codec(lower))}")
        if upper is not None:
            conditions.append(f"time < {bind(to_codec(upper))}")
        # Names decide among measurements of the same moment, and only this process knows them as
        # fast as they are needed: the last moment of a page is read whole, ordered here and cut.
        statement = f"""
            SELECT version, page.* FROM ({_VERSION}) AS v(version) LEFT JOIN LATERAL (
                SELECT time, station_id, {", ".join(query.pollutants)} FROM airq.measurement
                WHERE {" AND ".join([*conditions, "v.version <> ALL($3::bigint[])"])}
                ORDER BY time {query.order} FETCH FIRST {bind(limit + 1)} ROWS WITH TIES
            ) AS page ON true
        """
        found = await connection.fetch(statement, *arguments)
        version: int = found[0][0]
        if version in known_versions:
            return Page(version, None, more=False)
        if found[0][1] is None:
            return Page(version, [], more=False)
        names = self._names
        try:
            rows = [(row[1], names[row[2]], *row[3:]) for row in found]
        except KeyError:
            await self._learn_stations()
            names = self._names
            rows = [(row[1], names[row[2]], *row[3:]) for row in found]
        rows = _ordered(rows, descending)
        more = len(rows) > limit
        del rows[limit:]
        return Page(version, [(from_codec(row[0]), *row[1:]) for row in rows], more)

    async def latest(self, names: Sequence[str], pollutants: Sequence[str]) -> tuple[int, list[Row]]:
        """Return the version, and each station's newest measurement, by station."""
        ids = [self._ids[name] for name in names]
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            version = await connection.fetchval(_VERSION, ids or [0], [date.min])
            rows = await connection.fetch(
                f"""
                SELECT time, name, {", ".join(pollutants)} FROM airq.station, LATERAL (
                    SELECT * FROM airq.measurement WHERE station_id = station.id
                    ORDER BY time DESC LIMIT 1
                ) AS newest
                WHERE cardinality($1::integer[]) = 0 OR station.id = ANY($1) ORDER BY name
                """,
                ids,
            )
        return version or 0, [(from_codec(row[0]), *row[1:]) for row in rows]

    async def stations(self, names: Sequence[str] = ()) -> tuple[int, list[Station]]:
        """Return the version of the data as a whole, and stations by name; all of them if none is named."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                """
                SELECT (SELECT coalesce(max(version), 0) FROM airq.coverage
                        WHERE station_id = 0 AND month = '-infinity') AS version,
                    name, coalesce(measurements, 0),
                    (SELECT min(time) FROM airq.measurement WHERE station_id = station.id),
                    (SELECT max(time) FROM airq.measurement WHERE station_id = station.id)
                FROM airq.station LEFT JOIN airq.coverage
                    ON coverage.station_id = station.id AND month = '-infinity'
                WHERE cardinality($1::text[]) = 0 OR name = ANY($1) ORDER BY name
                """,
                list(names),
            )
        stations = [
            Station(
                name,
                count,
                None if first is None else from_codec(first),
                None if last is None else from_codec(last),
            )
            for _, name, count, first, last in rows
        ]
        return (rows[0][0] if rows else 0), stations

    async def freshness(self) -> Freshness:
        """Return what the metrics tell of the data."""
        async with self._connection() as connection:
            newest = await connection.fetchval("SELECT max(time) FROM airq.measurement")
            count, stations = await connection.fetchrow(
                "SELECT coalesce((SELECT measurements FROM airq.coverage "
                "WHERE station_id = 0 AND month = '-infinity'), 0), "
                "(SELECT count(*) FROM airq.station)"
            )
            loads = await connection.fetch(
                "SELECT outcome, count(*), max(finished) FROM airq.load GROUP BY outcome"
            )
        finished = [last for outcome, _, last in loads if outcome in ("loaded", "unchanged")]
        return Freshness(
            newest=None if newest is None else from_codec(newest),
            measurements=count,
            stations=stations,
            loads={outcome: number for outcome, number, _ in loads},
            last_load=from_codec(max(finished)) if finished else None,
        )


_VERSION = """
    SELECT coalesce(max(version), 0) FROM airq.coverage
    WHERE station_id = ANY($1::integer[]) AND month = ANY($2::date[])
"""


def _ordered(rows: list[tuple[Any, ...]], descending: bool) -> list[tuple[Any, ...]]:
    """Order by time, then station; the rows come ordered by time, which makes it cheap."""
    return sorted(rows, key=_time_and_station, reverse=descending)


def _time_and_station(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:2]
