"""What the API reads: one statement a page, with the version of the data that it shows."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import asyncpg

from airq.domain.instants import month_of, next_month, start_of
from airq.domain.measurements import Columns
from airq.domain.pollutants import NAMES
from airq.domain.queries import Query, TimeRange
from airq.domain.stations import Station
from airq.domain.versions import KnownVersions
from airq.store.catalog import Catalog
from airq.store.connections import SchemaUnusable, from_codec, set_codecs, to_codec
from airq.store.pool import Pool, TooBusy, waiting_for_reader
from airq.store.schema import NEEDED_SCHEMA, schema_revision
from airq.store.summaries import Freshness, read_freshness, read_stations

CHECK_WAIT_SECONDS = 1.5
"""Less than those who ask for readiness wait for its answer."""

EXPORT_CHUNK_ROWS = 5_000
NONE_KNOWN = KnownVersions()
MANY_MONTHS = 24
"""With more partitions than this, planning for all of them costs more than asking which are needed."""

KEPT_MONTHS = 120
"""With more partitions than this, a plan that is kept takes more than 1 MB of each connection."""


@dataclass(frozen=True)
class Page:
    """Measurements in their order, and the version of the data they come from.

    Args:
        version: of the asked stations and months; 0 where they hold nothing.
        rows: None where the client's version is still the current one.
        more: whether further rows follow.
    """

    version: int
    rows: Columns | None
    more: bool


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
    _pool: Pool = field(init=False)
    _catalog: Catalog = field(default_factory=Catalog, init=False)

    def __post_init__(self) -> None:
        self._pool = Pool(self.url, self.pool_size, self.statement_timeout_seconds, self._prepare)

    async def open(self) -> None:
        """Make the pool; it connects when it is first asked, so that the database may come later."""
        await self._pool.open()

    async def close(self) -> None:
        """Close the pool; connections in use are ended."""
        self._pool.close()

    @property
    def pool_state(self) -> tuple[int, int]:
        """Connections that are open, and how many of them are idle."""
        return self._pool.state

    async def check(self) -> bool:
        """Make sure that the database can serve this version of airq.

        Returns:
            False if it is at work on all connections, so that it was not asked.

        Raises:
            SchemaUnusable: it has none of airq's, an older one, or this role may not use it.
            DatabaseUnavailable: it can't be reached.
        """
        try:
            async with self._pool.connection(CHECK_WAIT_SECONDS) as connection:
                revision = await schema_revision(connection)
        except TooBusy:
            # Were this process left out for being busy, the others would have its requests too.
            return False
        if revision is None or revision < NEEDED_SCHEMA:
            found = f"schema {revision}, and {NEEDED_SCHEMA} is needed" if revision else "no schema of airq's"
            raise SchemaUnusable(f"the database has {found}; run `airq migrate`")
        return True

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        await set_codecs(connection)
        with suppress(asyncpg.PostgresError):  # Who asks for more will hear it: there may be no schema yet.
            await self._catalog.learn(connection)

    async def check_stations(self, names: Sequence[str]) -> None:
        """Make sure that stations exist.

        Raises:
            UnknownStation: one of them does not.
            TooBusy, DatabaseUnavailable, SchemaUnusable, StatementTimeout: the database can't be asked.
        """
        if any(name not in self._catalog.ids for name in names):
            async with self._pool.connection() as connection:
                await self._catalog.ids_of(connection, names)

    async def page(self, query: Query, known: KnownVersions = NONE_KNOWN) -> Page:
        """Read one page.

        Args:
            query: with a limit.
            known: what the client has; if one is current, no measurement is read.

        Raises:
            UnknownStation: no station has a name that is asked for.
            TooBusy: all connections are in use.
            DatabaseUnavailable: the database can't be reached, or the connection broke.
            SchemaUnusable: it has none of airq's, an older one, or this role may not use it.
            StatementTimeout: it took longer than it may.
        """
        assert query.limit is not None
        async with self._pool.connection(keeps_plans=self._keeps_plan(query)) as connection:
            return await self._page(connection, query, query.limit, known)

    def _keeps_plan(self, query: Query) -> bool:
        """Tell whether one plan serves all queries of this form: those for a station's hours, days or weeks.

        Whatever the range, its rows are read by station and time, so that a plan for any range is the best
        one for each, and making it costs more than running it. Such a plan includes all partitions: a
        connection keeps just a few of them.
        """
        return (
            len(query.stations) == 1
            and query.range.months is not None
            and query.pollutants == NAMES
            and query.cursor is None
            and self._catalog.months <= KEPT_MONTHS
        )

    async def export(self, query: Query) -> AsyncGenerator[tuple[int, Columns], None]:
        """Read all rows of a query without a limit from one snapshot: in chunks, with their version.

        There is a first chunk always, if need be without rows.

        Raises:
            TooBusy: as many exports run as may, or all connections are in use.
            SessionExpired: the reader left a chunk for so long that the snapshot is gone.
            Exception: as of `page`; while the rows are read too.
        """
        async with self._pool.snapshot() as connection:
            page = await self._page(connection, query, EXPORT_CHUNK_ROWS, NONE_KNOWN)
            while page.more:
                assert page.rows is not None
                with waiting_for_reader():
                    yield page.version, page.rows
                at = query.behind(page.rows.times[-1], page.rows.stations[-1])
                page = await self._page(connection, at, EXPORT_CHUNK_ROWS, NONE_KNOWN)
        # Nothing more is read: who takes the last chunk slowly holds no connection meanwhile.
        assert page.rows is not None
        yield page.version, page.rows

    async def version(self, query: Query) -> int:
        """Return the version of the data that a query asks for.

        Raises:
            Exception: as of `page`.
        """
        async with self._pool.connection() as connection:
            ids = await self._catalog.ids_of(connection, query.stations)
            version: int = await connection.fetchval(_VERSION, *_version_arguments(query, ids))
            return version

    async def _page(
        self, connection: asyncpg.Connection, query: Query, limit: int, known: KnownVersions
    ) -> Page:
        """Read a page; of a long range only the months that it needs."""
        ids = await self._catalog.ids_of(connection, query.stations)
        months = query.range.months
        asked = self._catalog.months if months is None else min(len(months), self._catalog.months)
        window = await self._window(connection, query, ids, limit) if asked > MANY_MONTHS else None
        if window is not None:
            narrowed = replace(query, range=window)
            page = await self._read(connection, narrowed, query, ids, limit, known)
            if page.rows is None or page.more:
                return page
            # An undo took rows away since the window was measured.
        return await self._read(connection, query, query, ids, limit, known)

    async def _window(
        self, connection: asyncpg.Connection, query: Query, ids: Sequence[int], limit: int
    ) -> TimeRange | None:
        """Return a part of a query's range that holds its page for sure; None if that is all of it.

        PostgreSQL plans for every partition of a range, however few of them a page then reads.
        """
        descending = query.order == "desc"
        at = query.cursor.time if query.cursor else query.range.end if descending else query.range.start
        start = None if at is None else month_of(at)
        # The first month may lie partly outside of the range, so its rows don't count.
        month = await connection.fetchval(
            f"""
            SELECT month FROM (
                SELECT month, sum(sum(measurements)) OVER (ORDER BY month {query.order}) AS so_far,
                    first_value(sum(measurements)) OVER (ORDER BY month {query.order}) AS in_first
                FROM airq.coverage
                WHERE station_id = ANY($1::integer[]) AND month > '-infinity'
                    AND ($2::date IS NULL OR month {"<=" if descending else ">="} $2)
                GROUP BY month
            ) AS running WHERE so_far - in_first > $3 ORDER BY month {query.order} LIMIT 1
            """,
            ids or [0],
            start,
            limit,
        )
        if month is None:
            return None
        if descending:
            first = start_of(month)
            if query.range.start is not None and query.range.start >= first:
                return None
            return TimeRange(first, query.range.end)
        last = start_of(next_month(month))
        if query.range.end is not None and query.range.end <= last:
            return None
        return TimeRange(query.range.start, last)

    async def _read(
        self,
        connection: asyncpg.Connection,
        query: Query,
        asked: Query,
        ids: Sequence[int],
        limit: int,
        known: KnownVersions,
        *,
        again: bool = False,
    ) -> Page:
        descending = query.order == "desc"
        arguments: list[Any] = [*_version_arguments(asked, ids)]

        def bind(value: object) -> str:
            arguments.append(value)
            return f"${len(arguments)}"

        conditions = []
        if known.whichever:
            conditions.append("false")
        elif known:
            conditions.append(f"({_VERSION}) <> ALL({bind(known.numbers)}::bigint[])")
        if ids:
            conditions.append(
                f"station_id = {bind(ids[0])}" if len(ids) == 1 else f"station_id = ANY({bind(ids)})"
            )
        lower, upper = query.range.start, query.range.end
        if query.cursor is not None:
            # Of the rows at the cursor's own time, those up to its station are left out; asking for the
            # others would miss the stations that a load brought since the names were read.
            time, station = query.cursor.time, query.cursor.station
            before = [
                number
                for number, name in self._catalog.names.items()
                if (name >= station if descending else name <= station)
            ]
            conditions.append(f"NOT (time = {bind(to_codec(time))} AND station_id = ANY({bind(before)}))")
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
        # A page comes as one row of arrays, because a row costs the driver more than its values do.
        columns = ("time", "station_id", *query.pollutants)
        statement = f"""
            SELECT ({_VERSION}), {", ".join(f"array_agg({column})" for column in columns)} FROM (
                SELECT {", ".join(columns)} FROM airq.measurement
                {"WHERE" if conditions else ""} {" AND ".join(conditions)}
                ORDER BY time {query.order} FETCH FIRST {bind(limit + 1)} ROWS WITH TIES
            ) AS page
        """
        version, times, numbers, *values = await connection.fetchrow(statement, *arguments)
        if version in known:
            return Page(version, None, more=False)
        if times is None:
            return Page(version, Columns(), more=False)
        try:
            stations = list(map(self._catalog.names.__getitem__, numbers))
        except KeyError:
            if again:
                raise
            await self._catalog.learn(connection)
            return await self._read(connection, query, asked, ids, limit, known, again=True)
        rows = Columns(list(map(from_codec, times)), stations, values)
        if len(set(times)) < len(times):
            # No two rows share time and station, so that values never decide. Those who share a time
            # stand together already, which makes ordering them cheap.
            inorder = sorted(zip(rows.times, stations, *values, strict=True), reverse=descending)
            rows = Columns.of(inorder)
        more = len(times) > limit
        return Page(version, rows.first(limit) if more else rows, more)

    async def latest(
        self, names: Sequence[str], pollutants: Sequence[str], known: KnownVersions = NONE_KNOWN
    ) -> Page:
        """Read each station's newest measurement, by station.

        Args:
            names: stations; empty means all.
            known: what the client has; if one is current, no measurement is read.

        Raises:
            Exception: as of `page`.
        """
        async with (
            self._pool.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            ids = await self._catalog.ids_of(connection, names)
            version = await connection.fetchval(_VERSION, ids or [0], [date.min])
            if version in known:
                return Page(version, None, more=False)
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
        return Page(version, Columns.of((from_codec(row[0]), *row[1:]) for row in rows), more=False)

    async def stations(self, names: Sequence[str] = ()) -> tuple[int, list[Station]]:
        """Return the version of the data as a whole, and stations by name; all of them if none is named."""
        async with self._pool.connection() as connection:
            return await read_stations(connection, names)

    async def freshness(self) -> Freshness:
        """Return what the metrics tell of the data."""
        async with self._pool.connection() as connection:
            return await read_freshness(connection)


def _version_arguments(query: Query, ids: Sequence[int]) -> tuple[Sequence[int], list[date]]:
    return ids or [0], query.range.months or [date.min]


_VERSION = """
    SELECT coalesce(max(version), 0) FROM airq.coverage
    WHERE station_id = ANY($1::integer[]) AND month = ANY($2::date[])
"""
