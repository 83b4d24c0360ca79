"""Connections to PostgreSQL: how they are made, and what their faults are called outside of the store."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from airq.domain.errors import AirqError

CONNECT_TIMEOUT_SECONDS = 10.0
HOST_TIMEOUT_SECONDS = 1.0
"""The same for each host, where a URL names several: who asks for readiness waits little longer."""

SILENT_SECONDS = 10.0
"""How long a host that gave no answer is asked behind the others."""

CODEC_EPOCH_MS = 946_684_800_000
"""2000-01-01, the zero of PostgreSQL's binary times, in milliseconds since 1970."""


class DatabaseUnavailable(AirqError):
    """PostgreSQL can't be reached, went away, or refuses connections."""


class StatementTimeout(AirqError):
    """A statement took longer than it may."""


class SessionExpired(AirqError):
    """A session waited within a transaction for longer than it may, and has ended; the database has not."""


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
    asyncpg.TargetServerAttributeNotMatched,
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
    cause = cause_of(error)
    if isinstance(cause, SessionExpired):
        return cause
    if isinstance(cause, asyncpg.IdleInTransactionSessionTimeoutError):
        return SessionExpired(f"{database} ended a session that waited for too long")
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


def cause_of(error: Exception) -> Exception:
    """Return why a session is gone, where the driver says that it can't end a transaction in it."""
    while isinstance(error, asyncpg.InterfaceError) and isinstance(error.__context__, Exception):
        error = error.__context__
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


@dataclass
class Hosts:
    """Connects to one of the hosts that a URL names, and remembers which gave no answer.

    The driver's time is for all hosts together. One whose machine is lost, from where not even a refusal
    comes back, would use it up, and the others would not be asked.

    Args:
        clock: a monotonic clock in seconds.
    """

    host_seconds: float = HOST_TIMEOUT_SECONDS
    clock: Callable[[], float] = time.monotonic
    _silent: dict[str, float] = field(default_factory=dict, init=False)

    async def connect(self, url: str, **options: Any) -> asyncpg.Connection:
        """Connect to the first host that answers and is what `target_session_attrs` asks for.

        Args:
            url: with hosts between commas, if there are several.
            options: what the driver's `connect` takes besides.

        Raises:
            Exception: the driver's fault with the last host; of others than refusals and silence, such as a
                wrong password, the first one.
        """
        urls = urls_of(url)
        if len(urls) == 1:
            return await _connect(url, CONNECT_TIMEOUT_SECONDS, options)
        wish = parse_qs(urlsplit(url).query).get("target_session_attrs", [None])[-1]
        kinds = ("standby", "any") if wish == "prefer-standby" else (wish,)
        attempts = sorted(itertools.product(kinds, urls), key=lambda attempt: self._is_silent(attempt[1]))
        failed: set[str] = set()
        fault: Exception | None = None
        for kind, one in attempts:
            if one in failed:
                continue
            try:
                wanted = options | {"target_session_attrs": kind}
                connection = await _connect(one, self.host_seconds, wanted)
            except asyncpg.TargetServerAttributeNotMatched as error:
                fault = error
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
                failed.add(one)
                fault = error
                if isinstance(error, TimeoutError):
                    self._silent[one] = self.clock()
            else:
                self._silent.pop(one, None)
                return connection
        assert fault is not None
        raise fault

    def _is_silent(self, url: str) -> bool:
        return url in self._silent and self.clock() - self._silent[url] < SILENT_SECONDS


async def _connect(url: str, seconds: float, options: dict[str, Any]) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, timeout=seconds, **options)
    except TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def urls_of(url: str) -> list[str]:
    """Return a URL for each host of a URL, without a wish for a certain kind of server."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    query = re.sub(r"(?:^|&)target_session_attrs=[^&]*", "", parts.query).lstrip("&")
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{host}", query=query)) for host in hosts.split(",")]


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
            # Nobody waits for a command's connection as one does for readiness.
            hosts = Hosts(host_seconds=CONNECT_TIMEOUT_SECONDS)
            connection = await hosts.connect(url, server_settings={"application_name": name})
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
