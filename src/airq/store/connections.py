"""Connections to PostgreSQL: how they are made, and what their faults are called outside of the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from airq.domain.errors import AirqError

CONNECT_TIMEOUT_SECONDS = 10
CODEC_EPOCH_MS = 946_684_800_000
"""2000-01-01, the zero of PostgreSQL's binary times, in milliseconds since 1970."""


class DatabaseUnavailable(AirqError):
    """PostgreSQL can't be reached, went away, or refuses connections."""


class StatementTimeout(AirqError):
    """A statement took longer than it may."""


_GONE = (
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


def translate(error: Exception) -> Exception:
    """Return what a driver's fault is called outside of the store; other faults as they are."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return StatementTimeout("the database took longer than the statement timeout allows")
    if isinstance(error, _GONE):
        return DatabaseUnavailable(f"the database can't be reached: {error or type(error).__name__}")
    return error


@asynccontextmanager
async def translated_faults() -> AsyncIterator[None]:
    """Raise the driver's faults under the names of this module."""
    try:
        yield
    except Exception as error:
        translated = translate(error)
        if translated is error:
            raise
        raise translated from error


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Exchange times as integers: (microseconds since 2000,), without making a datetime of each."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda microseconds: (microseconds,),
        decoder=lambda parts: parts[0],
        format="tuple",
    )


def to_codec(milliseconds: int) -> int:
    """Return a time in milliseconds since 1970 as the codec sends it."""
    return (milliseconds - CODEC_EPOCH_MS) * 1000


def from_codec(microseconds: int) -> int:
    """Return a time that the codec received as milliseconds since 1970."""
    return microseconds // 1000 + CODEC_EPOCH_MS


@asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[asyncpg.Connection]:
    """Open one connection for a command and close it behind it.

    Args:
        url: PostgreSQL URL.
        name: what `pg_stat_activity` shows.

    Raises:
        DatabaseUnavailable: the database can't be reached, now or later.
    """
    async with translated_faults():
        connection = await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_SECONDS, server_settings={"application_name": name}
        )
        try:
            await set_codecs(connection)
            yield connection
            await connection.close()
        finally:
            # Behind a fault there is nothing to wait for; the server rolls back what was open.
            connection.terminate()
