"""Waiting for a database that comes up later than who needs it, and for its replicas to catch up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from airq.domain.errors import AirqError
from airq.store.connections import DatabaseUnavailable, SchemaUnusable, connected, urls_of
from airq.store.schema import NEEDED_SCHEMA, schema_revision

RETRY_SECONDS = 1.0


async def wait_for_database(
    url: str, seconds: float, on_wait: Callable[[str], None], *, schema: bool = False
) -> None:
    """Return once the database answers.

    Args:
        url: the database as the command reaches it.
        seconds: how long to try.
        on_wait: told why it is waited, once for each reason.
        schema: also wait until its schema is at or above the one that this version needs.

    Raises:
        DatabaseUnavailable: it did not answer in time.
        SchemaUnusable: its schema did not come in time.
    """

    async def look() -> None:
        async with connected(url, "airq wait") as connection:
            if not schema:
                return
            revision = await schema_revision(connection)
        if revision is None or revision < NEEDED_SCHEMA:
            found = f"schema {revision}" if revision else "no schema of airq's"
            raise SchemaUnusable(f"the database has {found}, and {NEEDED_SCHEMA} is needed")

    await _until(look, seconds, on_wait)


async def wait_for_replay(
    url: str, replica_url: str, seconds: float, on_wait: Callable[[str], None]
) -> list[str]:
    """Return once each replica shows what the primary has committed by now.

    Args:
        url: the primary.
        replica_url: the replicas: a URL with one host or several between commas.
        seconds: how long to wait for all of them together.

    Returns:
        What is wrong with each replica that did not catch up in time.

    Raises:
        DatabaseUnavailable: the primary does not answer.
    """
    async with connected(url, "airq load") as connection:
        committed = await connection.fetchval("SELECT pg_current_wal_flush_lsn()::text")

    async def wait(one: str) -> str | None:
        async def look() -> None:
            async with connected(one, "airq load") as connection:
                # A replica that became a primary replays nothing any more.
                behind = await connection.fetchval(
                    "SELECT pg_is_in_recovery() AND pg_wal_lsn_diff($1::text::pg_lsn, "
                    "coalesce(pg_last_wal_replay_lsn(), '0/0')) > 0",
                    committed,
                )
            if behind:
                raise _Behind(f"the replica {urlsplit(one).netloc.rpartition('@')[2]} is behind")

        try:
            await _until(look, seconds, on_wait)
        except AirqError as error:
            return str(error)
        return None

    faults = await asyncio.gather(*map(wait, urls_of(replica_url)))
    return [fault for fault in faults if fault is not None]


class _Behind(AirqError):
    pass


async def _until(look: Callable[[], Awaitable[None]], seconds: float, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        try:
            await look()
            return
        except (DatabaseUnavailable, SchemaUnusable, _Behind) as error:
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise
            if str(error) != told:
                told = str(error)
                on_wait(f"{told}; waiting")
        await asyncio.sleep(RETRY_SECONDS)
