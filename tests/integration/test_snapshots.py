"""An export reads one snapshot, which waits for its reader for a while and not longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from airq.domain.measurements import Columns
from airq.domain.queries import Query
from airq.store import measurements, pool
from airq.store.connections import DatabaseUnavailable, SessionExpired
from airq.store.measurements import Measurements
from tests.conftest import Database
from tests.integration.api.conftest import load
from tests.integration.publishing import HEADER
from tests.integration.sessions import END_READERS


@pytest.fixture
def filled(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with three rows, which are exported in chunks of two."""
    monkeypatch.setattr(measurements, "EXPORT_CHUNK_ROWS", 2)
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.2)
    path = tmp_path / "three.csv"
    path.write_text(HEADER + "".join(f"\n2025-01-0{day} 00:00:00,aq_one,1,2,3,4,5,6" for day in (1, 2, 3)))
    load(database, path)
    return database


@asynccontextmanager
async def exporting(database: Database) -> AsyncIterator[AsyncIterator[tuple[int, Columns]]]:
    """Export everything in a snapshot whose first chunk is read."""
    store = Measurements(database.reader, 4, 10)
    await store.open()
    try:
        async with aclosing(store.export(Query(format="csv", limit=None))) as chunks:
            _, rows = await anext(chunks)
            assert len(rows) == 2
            yield chunks
    finally:
        await store.close()


async def leave(database: Database, seconds: float, *, ended: bool) -> None:
    """Leave a chunk unread for a while, in which the server may end the session."""
    if ended:
        await asyncio.to_thread(database.execute, END_READERS)
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("ended", [False, True], ids=["kept", "ended"])
def test_a_snapshot_whose_reader_was_away_for_too_long_has_expired(filled: Database, ended: bool) -> None:
    async def read_on() -> None:
        async with exporting(filled) as chunks:
            await leave(filled, 0.3, ended=ended)
            await anext(chunks)

    with pytest.raises(SessionExpired):
        asyncio.run(read_on())


def test_it_has_expired_for_a_reader_too_who_goes_away_then(filled: Database) -> None:
    async def go_away() -> None:
        async with exporting(filled):
            await leave(filled, 0.3, ended=True)

    with pytest.raises(SessionExpired):
        asyncio.run(go_away())


def test_a_session_that_ends_before_that_is_a_database_that_went_away(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 60)

    async def read_on() -> None:
        async with exporting(filled) as chunks:
            await leave(filled, 0.1, ended=True)
            await anext(chunks)

    with pytest.raises(DatabaseUnavailable):
        asyncio.run(read_on())


@pytest.fixture
def enough_time(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute for each chunk, as outside of tests."""
    monkeypatch.setattr(pool, "IDLE_SECONDS", 60)


@pytest.mark.usefixtures("enough_time")
def test_a_reader_who_is_quick_enough_gets_everything(filled: Database) -> None:
    async def read_on() -> list[int]:
        async with exporting(filled) as chunks:
            return [len(rows) async for _, rows in chunks]

    assert asyncio.run(read_on()) == [1]


@pytest.mark.usefixtures("enough_time")
def test_the_last_chunk_may_be_read_as_slowly_as_one_likes(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_on() -> None:
        async with exporting(filled) as chunks:
            _, rows = await anext(chunks)
            assert len(rows) == 1
            monkeypatch.setattr(pool, "IDLE_SECONDS", 0.2)
            await leave(filled, 0.3, ended=True)
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)

    asyncio.run(read_on())
