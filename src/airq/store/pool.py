"""The API's connections to PostgreSQL: a pool that nobody waits for without end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import asyncpg

from airq.domain.errors import AirqError
from airq.store.connections import DatabaseUnavailable, Hosts, SessionExpired, translated_faults

ACQUIRE_TIMEOUT_SECONDS = 5.0
SILENCE_SECONDS = 2.0
"""How far beyond its statement timeout an answer of PostgreSQL may be; behind that, its host is gone."""

IDLE_SECONDS = 55.0
"""How long a snapshot may wait for its reader: less than the 60 s behind which PostgreSQL ends it."""

_PLANS = {False: "force_custom_plan", True: "force_generic_plan"}


class TooBusy(AirqError):
    """All connections of this process are in use, and none came free in time."""


class _Reading(asyncpg.Connection):  # type: ignore[misc]
    """A connection whose one state that changes, `keeps_plans`, is looked at before each use, so that none
    needs to be reset behind a reader."""

    keeps_plans: bool | None = False

    def get_reset_query(self) -> str:
        """Return what is run when the connection goes back to the pool: nothing."""
        return ""

    async def keep_plans(self, keep: bool) -> None:
        """Let PostgreSQL keep a statement's plan, or make it anew each time."""
        if keep != self.keeps_plans:
            # Whoever breaks this off does not know whether it was done.
            self.keeps_plans = None
            await self.execute(f"SET plan_cache_mode = {_PLANS[keep]}")
            self.keeps_plans = keep


@dataclass
class Pool:
    """Connections for reading.

    Args:
        url: the database as the API reaches it.
        size: the most connections.
        statement_timeout_seconds: after which a statement is ended; 0 for never.
        on_connect: run on each new connection before its first use.
    """

    url: str
    size: int
    statement_timeout_seconds: float
    on_connect: Callable[[asyncpg.Connection], Awaitable[None]]
    _connections: asyncpg.Pool | None = field(default=None, init=False)
    _exports: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        # An export lasts as long as its client likes, so that some connections are kept for the others.
        self._exports = asyncio.Semaphore(self.size // 2)

    async def open(self) -> None:
        """Make the pool; it connects when it is first asked, so that the database may come later."""
        seconds = self.statement_timeout_seconds
        self._connections = await asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self.size,
            init=self.on_connect,
            connect=Hosts().connect,
            connection_class=_Reading,
            command_timeout=seconds + SILENCE_SECONDS if seconds else None,
            max_inactive_connection_lifetime=300,
            server_settings={
                "application_name": "airq serve",
                "default_transaction_read_only": "on",
                "statement_timeout": str(round(seconds * 1000)),
                # A client that stops reading an export must not hold back the database's cleaning.
                "idle_in_transaction_session_timeout": "60s",
                # Pages are short: compiling a plan costs more than it saves.
                "jit": "off",
                "plan_cache_mode": _PLANS[False],
            },
        )

    def close(self) -> None:
        """Close the pool; connections in use are ended."""
        if self._connections is not None:
            self._connections.terminate()

    @property
    def state(self) -> tuple[int, int]:
        """Connections that are open, and how many of them are idle."""
        if self._connections is None:
            return 0, 0
        return self._connections.get_size(), self._connections.get_idle_size()

    @asynccontextmanager
    async def connection(
        self, wait_seconds: float = ACQUIRE_TIMEOUT_SECONDS, *, keeps_plans: bool = False
    ) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection.

        Args:
            wait_seconds: how long to wait for one.
            keeps_plans: let PostgreSQL plan a statement once. Mostly planning each anew pays, because only
                a plan made for its own time range leaves the other partitions out.

        Raises:
            TooBusy: all of them are in use.
            DatabaseUnavailable: there is none to be had, or it broke.
        """
        pool = self._connections
        if pool is None:
            raise DatabaseUnavailable("the pool is not open")
        async with translated_faults():
            try:
                # Waiting with a timeout costs more than a statement, and an idle one is had at once.
                idle = pool.get_idle_size() > 0
                connection = await pool.acquire(timeout=None if idle else wait_seconds)
            except TimeoutError:
                if pool.get_size() < self.size:
                    raise
                raise TooBusy(f"all {self.size} connections are in use") from None
            try:
                try:
                    await connection.keep_plans(keeps_plans)
                    yield connection
                finally:
                    await pool.release(connection)
            except asyncpg.InternalClientError as error:
                # What the driver says when the server's farewell and a new statement cross.
                raise DatabaseUnavailable(f"the connection broke: {error}") from error

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection, for an export, that sees the database as it is now.

        Raises:
            TooBusy: as many exports run as may, or all connections are in use.
            DatabaseUnavailable: there is none to be had, or it broke.
        """
        try:
            await asyncio.wait_for(self._exports.acquire(), ACQUIRE_TIMEOUT_SECONDS)
        except TimeoutError:
            raise TooBusy(f"{self.size // 2} exports are running, as many as may") from None
        try:
            async with (
                self.connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        finally:
            self._exports.release()


@contextmanager
def waiting_for_reader() -> Iterator[None]:
    """Hand on what a snapshot has given; nothing is asked of the database meanwhile.

    Raises:
        SessionExpired: that took longer than a snapshot may wait. What PostgreSQL says when it ends a
            session that is asked nothing, the driver throws away, so that only the time tells.
    """
    began = time.monotonic()
    try:
        yield
    finally:
        if time.monotonic() - began > IDLE_SECONDS:
            raise SessionExpired(f"a snapshot waited for its reader for more than {IDLE_SECONDS:g} s")
