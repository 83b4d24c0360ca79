"""Connections to PostgreSQL: how they are made, and what their faults are called outside of the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import itemgetter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from airq.domain.errors import AirqError

CONNECT_TIMEOUT_SECONDS = 10
CODEC_EPOCH_MS = 946_684_800_000
"""2000-01-01, the zero of PostgreSQL's binary times, in milliseconds since 1970."""


class DatabaseUnavailable(AirqError):
    """PostgreSQL can't be reached, went away, or refuses connections."""


class StatementTimeout(AirqError):
    """A statement took longer than it may."""


class SchemaUnusable(AirqError):
    """The database has no schema of airq's, an older one, or one that this role may not use."""


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

_NO_SCHEMA = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)


def translate(error: Exception, database: str = "the database") -> Exception:
    """Return what a driver's fault is called outside of the store; other faults as they are.

    Args:
        database: how the message calls the database.
    """
    if isinstance(error, asyncpg.QueryCanceledError):
        return StatementTimeout(f"{database} took longer than the statement timeout allows")
    if isinstance(error, _NO_SCHEMA):
        return SchemaUnusable(
            f"{database} has no airq schema, or an older one ({reason_of(error)}); run `airq migrate` "
            "with its owner's URL in AIRQ_DATABASE_URL"
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return SchemaUnusable(
            f"{database} does not allow it ({reason_of(error)}); `airq migrate` gives the roles in "
            "AIRQ_LOADER_URL and AIRQ_READER_URL what they need"
        )
    if isinstance(error, _GONE):
        return DatabaseUnavailable(f"{database} can't be reached: {reason_of(error)}")
    return error


def reason_of(error: Exception) -> str:
    """Return what a driver's fault says, in one line: without details, hints and numbers."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__


@asynccontextmanager
async def translated_faults(database: str = "the database") -> AsyncIterator[None]:
    """Raise the driver's faults under the names of this module."""
    try:
        yield
    except Exception as error:
        translated = translate(error, database)
        if translated is error:
            raise
        raise translated from error


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Exchange times as integers: (microseconds since 2000,), without making a datetime of each."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda microseconds: (microseconds,),
        decoder=itemgetter(0),
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
    async with translated_faults(_place(url)):
        try:
            connection = await asyncpg.connect(
                url, timeout=CONNECT_TIMEOUT_SECONDS, server_settings={"application_name": name}
            )
        except TimeoutError:
            raise TimeoutError(f"no answer within {CONNECT_TIMEOUT_SECONDS} s") from None
        except FileNotFoundError as error:
            # The driver does not say which file; without any of these it is the server's socket.
            reason = ": ".join(filter(None, (error.strerror, ", ".join(_missing_files(url)))))
            raise FileNotFoundError(error.errno, reason) from None
        try:
            await set_codecs(connection)
            yield connection
            await connection.close()
        finally:
            # Behind a fault there is nothing to wait for; the server rolls back what was open.
            connection.terminate()


def _place(url: str) -> str:
    """Say which database a URL means and who asks, without the password."""
    parts = urlsplit(url)
    user, _, host = f"{parts.netloc}{parts.path}".rpartition("@")
    if not host or host.startswith("/"):
        host = parse_qs(parts.query).get("host", [""])[0] + host
    return f"the database {user.partition(':')[0]}@{host}"


def _missing_files(url: str) -> list[str]:
    """Return the files that a URL names and that are not there."""
    options = parse_qs(urlsplit(url).query)
    names = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
    return [path for name in names for path in options.get(name, []) if not Path(path).exists()]
