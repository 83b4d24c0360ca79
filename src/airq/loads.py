"""A load from end to end: a source is read, sent to the store and entered in the ledger."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import BinaryIO, Protocol

from airq.domain.errors import AirqError, UnusableInput
from airq.domain.tolerance import Tolerance
from airq.ingest.digest import Digest
from airq.ingest.header import excerpt
from airq.ingest.lines import read_blocks
from airq.ingest.reader import DEFAULT_MISSING, Batch, Reader, Reject, shorten
from airq.ingest.sources import Source
from airq.store import ledger
from airq.store.connections import connected
from airq.store.ledger import Load, RejectedRow, Touched
from airq.store.loading import RepeatedRows, Transfer
from airq.store.undoing import NotUndoable, undo

BATCHES_AHEAD = 2
"""Batches that are read while one is on its way to the database; each holds some 1 MiB of text."""


@dataclass(frozen=True)
class Options:
    """How to read a file and what to put up with."""

    timezone: tzinfo = UTC
    missing: Sequence[float | str] = DEFAULT_MISSING
    tolerance: Tolerance = Tolerance()


class Watcher(Protocol):
    """Told of a load's progress."""

    def read(self, byte_count: int) -> None:
        """So many further bytes of the source were read."""

    def sent(self, rows: int) -> None:
        """So many rows, of all that were read, are with the database."""

    def restart(self) -> None:
        """The source is read again from its beginning: what was read and sent of it counts no more."""

    def notice(self, message: str) -> None:
        """Something that a person should know and that is no fault."""


class Refused(AirqError):
    """A load was refused as a whole; `load` is its entry in the ledger."""

    def __init__(self, message: str, load: Load) -> None:
        super().__init__(message)
        self.load = load


async def load(url: str, source: Source, options: Options, watcher: Watcher) -> Load:
    """Load one source, once no other load or undo runs.

    Args:
        url: the database as the loader reaches it.
        source: what to load; it is read a second and a third time where it repeats rows.
        options: how to read it, and how many rejected rows to put up with.
        watcher: told of the progress, from several threads.

    Returns:
        The ledger's entry; its outcome is "loaded" or "unchanged".

    Raises:
        Refused: the file is unusable or has too many rejected rows; the ledger says so too.
        LoadFailed: the database refused the load or was lost on its way. Nothing of it is visible, unless
            it was lost while the load was committed; the ledger then knows.
        DatabaseUnavailable: the database can't be reached before the load begins, or to read the entry of
            one that was committed; the ledger then knows.
        SchemaUnusable: the database has no schema of airq's, or the role may not load.
    """
    async with connected(url, "airq load") as book, connected(url, "airq load") as data:
        number = await ledger.begin(book, "load", source.name)
        try:
            await ledger.lock_loads(data, watcher.notice)
            await _run(book, data, number, source, options, watcher)
        except _Unacceptable as refusal:
            await ledger.give_up(book, number, "refused", str(refusal), **vars(refusal.read))
            raise Refused(str(refusal), await ledger.find_load(book, number)) from None
        except (KeyboardInterrupt, asyncio.CancelledError):
            await _stopped(book, number, "load")
            raise
        except Exception as error:
            described = ledger.describe(error, "load") or error
            if await _failed(book, number, str(described)):
                raise described from error
        return await ledger.find_load(book, number)


async def enter_unopened(url: str, name: str, outcome: str, reason: str) -> Load:
    """Enter a source that could not even be opened, so that the ledger has every load that was tried.

    Args:
        url: the database as the loader reaches it.
        name: of the source.
        outcome: "refused" for its own fault, "failed" if it may be there at another time.
        reason: what is wrong with it.

    Returns:
        The ledger's entry.

    Raises:
        LoadFailed: the database takes no entry.
        DatabaseUnavailable: the database can't be reached.
        SchemaUnusable: the database has no schema of airq's, or the role may not load.
    """
    async with connected(url, "airq load") as book:
        number = await ledger.begin(book, "load", name)
        await ledger.give_up(book, number, outcome, reason)
        return await ledger.find_load(book, number)


async def _stopped(book: ledger.Connection, number: int, kind: str) -> None:
    with suppress(Exception):
        reason = f"stopped by the user; {ledger.NO_EFFECT[kind]}"
        await ledger.give_up(book, number, "interrupted", reason)


async def _failed(book: ledger.Connection, number: int, fault: str) -> bool:
    """Enter a fault as a load's end; False if the load came to its commit all the same."""
    with suppress(Exception):
        return await ledger.give_up(book, number, "failed", fault)
    return True


async def _run(
    book: ledger.Connection,
    data: ledger.Connection,
    number: int,
    source: Source,
    options: Options,
    watcher: Watcher,
) -> None:
    """Try the direct way first; where the file repeats rows, start over and stage them all."""
    for stage_all in (False, True):
        transfer = Transfer(book, data, number, stage_all)
        transaction = data.transaction()
        await transaction.start()
        try:
            read = await _send(book, transfer, source, options, watcher)
            counts = await transfer.complete()
            if counts.repeated:
                rows = "1 row is" if counts.repeated == 1 else f"{counts.repeated:,} rows are"
                watcher.notice(f"{rows} repeated further down; the last one counts")
                await _record_repeated(book, transfer, source, read)
            await ledger.finish(
                data,
                number,
                "loaded" if counts.inserted or counts.changed else "unchanged",
                **vars(read),
                **vars(counts),
            )
            await transaction.commit()
            return
        except RepeatedRows:
            await transfer.abandon()
            await transaction.rollback()
            await ledger.forget_rejects(book, number)
            watcher.restart()
            watcher.notice("the file repeats a station and time; starting over to find the last ones")
        except BaseException:
            await transfer.abandon()
            with suppress(Exception):
                await transaction.rollback()
            raise
    raise AssertionError("rows that are all staged repeat none")


@dataclass(frozen=True)
class _Read:
    """What came of a source, in the ledger's columns."""

    rows_read: int = 0
    rejected: int = 0
    missing: int = 0
    sha256: str | None = None

    def plus(self, batch: Batch) -> "_Read":
        return replace(
            self,
            rows_read=self.rows_read + batch.rows_read,
            rejected=self.rejected + len(batch.rejects),
            missing=self.missing + batch.missing,
        )


class _Unacceptable(AirqError):
    def __init__(self, message: str, read: _Read) -> None:
        super().__init__(message)
        self.read = read


async def _send(
    book: ledger.Connection, transfer: Transfer, source: Source, options: Options, watcher: Watcher
) -> _Read:
    """Read the source to its end in a thread of its own while the database takes what is there."""
    read = _Read()
    told = transfer.stage_all
    with closing(Digest()) as digest:

        def take(part: memoryview) -> None:
            digest.take(part)
            watcher.read(len(part))

        try:
            with source.open(take) as stream:
                reader = Reader(stream, options.timezone, options.missing)
                async with aclosing(_ahead(reader.batches())) as batches:
                    async for batch in batches:
                        if reader.header.extra and not told:
                            watcher.notice("columns without use: " + excerpt(", ".join(reader.header.extra)))
                            told = True
                        read = read.plus(batch)
                        await ledger.add_rejects(book, transfer.load_id, _entries(batch.rejects))
                        await transfer.add(batch, reader.stations)
                        watcher.sent(read.rows_read)
        except UnusableInput as error:
            raise _Unacceptable(str(error), replace(read, sha256=digest.hexdigest())) from None
        # The rows are those of these very bytes, whatever the file holds by now.
        read = replace(read, sha256=digest.hexdigest())
    if not read.rows_read:
        raise _Unacceptable("it has a header and no row below it", read)
    if not options.tolerance.allows(read.rejected, read.rows_read):
        raise _Unacceptable(
            f"{read.rejected:,} of {read.rows_read:,} rows were rejected; allowed are "
            f"{options.tolerance} (--max-rejects)",
            read,
        )
    return read


async def _ahead(batches: Iterator[Batch]) -> AsyncGenerator[Batch]:
    """Iterate in a thread, a few items ahead of who asks."""
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, "read")
    ahead = deque(loop.run_in_executor(thread, _next, batches) for _ in range(BATCHES_AHEAD))
    try:
        while (batch := await ahead.popleft()) is not None:
            ahead.append(loop.run_in_executor(thread, _next, batches))
            yield batch
    finally:
        # The file is closed behind this, so that what is being read must come to its end before.
        for future in ahead:
            future.cancel()
        thread.shutdown(cancel_futures=True)


def _next(batches: Iterator[Batch]) -> Batch | None:
    try:
        return next(batches, None)
    except OSError as error:
        raise UnusableInput(f"reading it failed: {error.strerror or error}") from error


def _entries(rejects: Sequence[Reject]) -> list[RejectedRow]:
    return [RejectedRow(**vars(reject)) for reject in rejects]


async def _record_repeated(book: ledger.Connection, transfer: Transfer, source: Source, read: _Read) -> None:
    """Enter the rows that later ones repeat among the rejects, with their text, read once more."""
    entries = []
    try:
        with source.open() as stream:
            lines = _numbered(stream)
            async with aclosing(transfer.repeated_lines()) as repeated:
                async for line, last in repeated:
                    raw = next((text for number, text in lines if number == line), None)
                    if raw is None:
                        raise UnusableInput("it changed while it was read; load it again")
                    reason = f"repeated: line {last} has the same station and time, and the last one counts"
                    entries.append(RejectedRow(line, shorten(raw), "", "", reason))
                    if len(entries) >= 10_000:
                        await ledger.add_rejects(book, transfer.load_id, entries)
                        entries.clear()
    except UnusableInput as error:
        raise _Unacceptable(str(error), read) from None
    await ledger.add_rejects(book, transfer.load_id, entries)


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    for block in read_blocks(stream):
        for number, raw in block.lines():
            yield number, raw.decode(errors="replace")


async def undo_load(url: str, number: int, watcher: Watcher) -> Load:
    """Take a load back, once no other load or undo runs.

    Args:
        url: the database as the loader reaches it.
        number: of the load, in the ledger.
        watcher: told why it is waited; an undo has no other progress.

    Returns:
        The ledger's entry of the undo itself.

    Raises:
        UnknownLoad: there is no load of this number.
        NotUndoable: it changed nothing, was undone before, or a newer one touched its rows.
        LoadFailed: the database refused the undo or was lost on its way. Nothing was undone, unless it was
            lost while the undo was committed; the ledger then knows.
        DatabaseUnavailable: the database can't be reached before the undo begins, or to read the entry of
            one that was committed; the ledger then knows.
        SchemaUnusable: the database has no schema of airq's, or the role may not load.
    """
    async with connected(url, "airq undo") as book, connected(url, "airq undo") as data:
        undone = await ledger.find_load(book, number)
        undo_id = await ledger.begin(book, "undo", undone.file, undoes=number)
        try:
            await ledger.lock_loads(data, watcher.notice)
            async with data.transaction():
                count = await undo(data, undo_id, number)
                await ledger.finish(data, undo_id, "loaded", changed=count)
        except NotUndoable as refusal:
            await ledger.give_up(book, undo_id, "refused", str(refusal))
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            await _stopped(book, undo_id, "undo")
            raise
        except Exception as error:
            described = ledger.describe(error, "undo") or error
            if await _failed(book, undo_id, str(described)):
                raise described from error
        return await ledger.find_load(book, undo_id)


async def read_loads(url: str, most: int) -> list[Load]:
    """Return the newest loads, the newest first."""
    async with connected(url, "airq loads") as connection:
        await ledger.mark_interrupted(connection)
        return await ledger.list_loads(connection, most)


async def read_load(
    url: str, number: int, most_rejects: int
) -> tuple[Load, list[RejectedRow], list[Touched]]:
    """Return a load, its first rejected rows by line, and what it touched.

    Raises:
        UnknownLoad: there is none of this number.
    """
    async with connected(url, "airq loads") as connection:
        await ledger.mark_interrupted(connection)
        return (
            await ledger.find_load(connection, number),
            await ledger.list_rejects(connection, number, most_rejects),
            await ledger.list_touched(connection, number),
        )


async def read_rejects(url: str, number: int, most: int) -> list[RejectedRow]:
    """Return a load's first rejected rows, by line."""
    async with connected(url, "airq loads") as connection:
        return await ledger.list_rejects(connection, number, most)
