"""PostgreSQL keeps the plan of the one form of page that is asked for most, and of no other."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from airq.domain.instants import parse_instant
from airq.domain.queries import Cursor, Query, TimeRange
from airq.store import measurements
from airq.store.measurements import Measurements
from tests.conftest import Database
from tests.integration.api.conftest import load
from tests.integration.publishing import HEADER

PLANS = """
    SELECT sum(generic_plans)::int, sum(custom_plans)::int FROM pg_prepared_statements
    WHERE statement LIKE '%FROM airq.measurement%WITH TIES%' AND statement NOT LIKE '%pg_prepared%'
"""


def day(number: int, month: int = 1) -> Query:
    """Return the query for a station's day of 2025."""
    start = parse_instant(f"2025-{month:02}-{number:02}", date_alone=True)
    return Query(stations=("aq_one",), range=TimeRange(start, start + 86_400_000), limit=10)


@pytest.fixture
def filled(database: Database, tmp_path: Path) -> Database:
    """A database with a row on each of three days in January and February, for two stations."""
    load(database, rows(tmp_path, (1, 2)))
    return database


def rows(directory: Path, months: Sequence[int]) -> Path:
    """Write a file with a row on each of three days of some months of 2025, for two stations."""
    path = directory / "rows.csv"
    lines = (
        f"\n2025-0{month}-0{number} 06:00:00,{station},1,2,3,4,5,6"
        for month in months
        for number in (1, 2, 3)
        for station in ("aq_one", "aq_two")
    )
    path.write_text(HEADER + "".join(lines))
    return path


def ask(database: Database, *queries: Query) -> tuple[int, int]:
    """Ask for pages on one connection; return how many plans it kept, and how many it made for one use."""

    async def asked() -> tuple[int, int]:
        store = Measurements(database.reader, 1, 10)
        await store.open()
        try:
            for query in queries:
                await store.page(query)
            async with store._pool.connection() as connection:
                return tuple(await connection.fetchrow(PLANS))
        finally:
            await store.close()

    return asyncio.run(asked())


def test_days_of_a_station_share_a_plan(filled: Database) -> None:
    assert ask(filled, day(1), day(2), day(2, month=2), replace(day(3), stations=("aq_two",))) == (4, 0)


@pytest.mark.parametrize(
    "other",
    [
        replace(day(1), stations=()),
        replace(day(1), stations=("aq_one", "aq_two")),
        replace(day(1), range=TimeRange(day(1).range.start, None)),
        replace(day(1), range=TimeRange(None, day(1).range.end)),
        replace(day(1), pollutants=("no2",)),
        replace(day(1), cursor=Cursor(day(1).range.start or 0, "aq_one")),
    ],
    ids=["all-stations", "two-stations", "open-end", "open-start", "one-pollutant", "later-page"],
)
def test_whatever_else_is_asked_is_planned_for_itself(filled: Database, other: Query) -> None:
    assert ask(filled, day(2), other, day(3)) == (2, 1)


def test_no_plan_is_kept_that_includes_a_great_many_months(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "KEPT_MONTHS", 1)
    # How many there are is learned with the first connection.
    assert ask(filled, replace(day(1), stations=()), day(1), day(2)) == (0, 3)


def test_a_kept_plan_finds_months_that_are_loaded_later(database: Database, tmp_path: Path) -> None:
    async def asked() -> list[int]:
        store = Measurements(database.reader, 1, 10)
        await store.open()
        counts = []
        try:
            for months in ((1,), (3,), (4,)):
                await asyncio.to_thread(load, database, rows(tmp_path, months))
                for month in (1, 3, 4):
                    page = await store.page(day(1, month))
                    assert page.rows is not None
                    counts.append(len(page.rows))
        finally:
            await store.close()
        return counts

    assert asyncio.run(asked()) == [1, 0, 0, 1, 1, 0, 1, 1, 1]


def test_a_change_that_was_broken_off_is_made_again(filled: Database) -> None:
    async def asked() -> list[str]:
        store = Measurements(filled.reader, 1, 10)
        await store.open()
        try:
            await store.page(day(1))
            async with store._pool.connection(keeps_plans=True) as connection:
                change = asyncio.create_task(connection.keep_plans(False))
                await asyncio.sleep(0)
                change.cancel()
                await asyncio.gather(change, return_exceptions=True)
            modes = []
            for keeps in (True, False):
                async with store._pool.connection(keeps_plans=keeps) as connection:
                    modes.append(await connection.fetchval("SHOW plan_cache_mode"))
            return modes
        finally:
            await store.close()

    assert asyncio.run(asked()) == ["force_generic_plan", "force_custom_plan"]
