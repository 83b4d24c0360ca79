"""The ledger of loads: what was loaded, when, with which result, and the rows that were refused."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

import asyncpg

from airq.domain.errors import AirqError
from airq.store.connections import (
    DatabaseUnavailable,
    SessionExpired,
    cause_of,
    from_codec,
    reason_of,
    translate,
)

LOAD_LOCK = 0x6C6F6164
"""Key of the advisory lock that one load or undo at a time holds ("load" in ASCII)."""

RUNNING_LOCK = 0x72756E
"""First key of a running load's advisory lock, the second being its id: seen to be dead without it."""

Connection: TypeAlias = asyncpg.Connection

NO_EFFECT = {"load": "nothing of it is visible", "undo": "nothing was undone"}
"""Kind of an entry → what is true of it if it did not come to its commit."""


class LoadFailed(AirqError):
    """The database could not take a load or an undo; unless its commit was under way, it has no effect."""


class UnknownLoad(AirqError):
    """There is no load of this number."""


@dataclass(frozen=True)
class Load:
    """An entry of the ledger; times in milliseconds since 1970, counts in rows (`missing`: cells)."""

    id: int
    kind: str
    undoes: int | None
    undone_by: int | None
    file: str
    sha256: str | None
    rows_read: int
    inserted: int
    changed: int
    unchanged: int
    repeated: int
    rejected: int
    missing: int
    started: int
    finished: int | None
    outcome: str
    reason: str | None


@dataclass(frozen=True)
class RejectedRow:
    """A row of a file that was not loaded, and why."""

    line: int
    raw: str
    field: str
    value: str
    reason: str


@dataclass(frozen=True)
class Touched:
    """Measurements of a station in a month that a load put there or replaced."""

    station: str
    month: date
    inserted: int
    changed: int


_COLUMNS = """
    load.id, kind, undoes,
    (SELECT undo.id FROM airq.load undo WHERE undo.undoes = load.id AND undo.outcome = 'loaded')
        AS undone_by,
    file, sha256, rows_read, inserted, changed, unchanged, repeated, rejected, missing,
    started, finished, outcome, reason
"""


async def lock_loads(data: Connection, on_wait: Callable[[str], None]) -> None:
    """Wait until no other load or undo runs; this one's turn ends with the connection."""
    if not await data.fetchval("SELECT pg_try_advisory_lock($1)", LOAD_LOCK):
        on_wait("another load is running; waiting for it to end")
        await data.execute("SELECT pg_advisory_lock($1)", LOAD_LOCK)


async def begin(connection: Connection, kind: str, file: str, undoes: int | None = None) -> int:
    """Enter a load that starts now; it counts as running while this connection lives.

    Returns:
        Its number.

    Raises:
        LoadFailed: the database is there and takes no entry, as one that is full or follows another.
    """
    try:
        await mark_interrupted(connection)
        async with connection.transaction():
            number: int = await connection.fetchval(
                "INSERT INTO airq.load (kind, file, undoes) VALUES ($1, $2, $3) RETURNING id",
                kind, file, undoes,
            )  # fmt: skip
            await connection.execute("SELECT pg_advisory_lock($1, $2)", RUNNING_LOCK, number)
    except asyncpg.PostgresError as error:
        if translate(error) is error:
            raise describe(error, kind) or error from error
        raise
    return number


async def mark_interrupted(connection: Connection) -> None:
    """Enter as interrupted each load that says "running" and whose process is gone."""
    await connection.execute(
        """
        UPDATE airq.load SET outcome = 'interrupted', finished = clock_timestamp(),
            reason = 'its process ended before it was through; '
                || CASE kind WHEN 'undo' THEN $3::text ELSE $2::text END
        WHERE outcome = 'running' AND NOT EXISTS (
            SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = $1::bigint::oid AND objid = load.id::oid)
        """,
        RUNNING_LOCK, NO_EFFECT["load"], NO_EFFECT["undo"],
    )  # fmt: skip


async def finish(connection: Connection, number: int, outcome: str, **columns: object) -> None:
    """Enter, in a load's own transaction, how it ends: its outcome and the columns known by now."""
    assignments = _assignments(columns)
    await connection.execute(
        f"UPDATE airq.load SET outcome = $2, finished = clock_timestamp(){assignments} WHERE id = $1",
        number, outcome, *columns.values(),
    )  # fmt: skip


async def give_up(connection: Connection, number: int, outcome: str, reason: str, **columns: object) -> bool:
    """Enter, beside a load's transaction, that it ended without a commit, and why.

    Returns:
        False if it was committed all the same, as when a commit's answer was lost on its way; the
        entry then stays as it is.
    """
    assignments = _assignments({"reason": reason, **columns})
    status = await connection.execute(
        f"UPDATE airq.load SET outcome = $2, finished = clock_timestamp(){assignments} "
        "WHERE id = $1 AND outcome NOT IN ('loaded', 'unchanged')",
        number, outcome, reason, *columns.values(),
    )  # fmt: skip
    return bool(status == "UPDATE 1")


def _assignments(columns: Iterable[str]) -> str:
    return "".join(f", {name} = ${place}" for place, name in enumerate(columns, start=3))


def describe(error: Exception, kind: str) -> AirqError | None:
    """Return a driver's fault in words for people, or None if it is none of those.

    Args:
        kind: during what it came: a "load" or an "undo".
    """
    untouched = NO_EFFECT[kind]
    translated = translate(error)
    if isinstance(translated, DatabaseUnavailable | SessionExpired):
        twice = "nothing is undone twice" if kind == "undo" else "nothing enters twice"
        return LoadFailed(
            f"the connection to the database was lost ({reason_of(cause_of(error))}); run it again, {twice}"
        )
    if isinstance(error, asyncpg.InsufficientResourcesError):
        return LoadFailed(f"the database has no room for this {kind} ({reason_of(error)}); {untouched}")
    if isinstance(error, asyncpg.PostgresError):
        return LoadFailed(f"the database refused this {kind}: {reason_of(error)}; {untouched}")
    return translated if isinstance(translated, AirqError) else None


async def add_rejects(connection: Connection, number: int, rejects: Sequence[RejectedRow]) -> None:
    """Enter rows that a load refused."""
    if not rejects:
        return
    await connection.copy_records_to_table(
        "rejected_row",
        schema_name="airq",
        columns=("load_id", "line", "raw", "field", "value", "reason"),
        records=[(number, r.line, r.raw, r.field, r.value, r.reason) for r in rejects],
    )


async def forget_rejects(connection: Connection, number: int) -> None:
    """Take back the rejects of a load that starts over."""
    await connection.execute("DELETE FROM airq.rejected_row WHERE load_id = $1", number)


async def list_loads(connection: Connection, most: int) -> list[Load]:
    """Return the newest loads, the newest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM airq.load ORDER BY id DESC LIMIT $1",
        most,
    )
    return [_load(row) for row in rows]


async def find_load(connection: Connection, number: int) -> Load:
    """Return one load.

    Raises:
        UnknownLoad: there is none of this number.
    """
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM airq.load WHERE id = $1",
        number,
    )
    if row is None:
        newest = await connection.fetchval("SELECT max(id) FROM airq.load")
        known = f"the newest is {newest}" if newest else "nothing was loaded yet"
        raise UnknownLoad(f"there is no load {number}; {known}")
    return _load(row)


def _load(row: asyncpg.Record) -> Load:
    fields = dict(row)
    fields["started"] = from_codec(fields["started"])
    if fields["finished"] is not None:
        fields["finished"] = from_codec(fields["finished"])
    return Load(**fields)


async def list_rejects(connection: Connection, number: int, most: int) -> list[RejectedRow]:
    """Return a load's first rejected rows, by line."""
    rows = await connection.fetch(
        "SELECT line, raw, field, value, reason FROM airq.rejected_row "
        "WHERE load_id = $1 ORDER BY line LIMIT $2",
        number, most,
    )  # fmt: skip
    return [RejectedRow(**row) for row in rows]


async def list_touched(connection: Connection, number: int) -> list[Touched]:
    """Return which stations and months a load touched."""
    rows = await connection.fetch(
        "SELECT name AS station, month, inserted, changed FROM airq.load_month "
        "JOIN airq.station ON station.id = station_id WHERE load_id = $1 ORDER BY month, name",
        number,
    )
    return [Touched(**row) for row in rows]
