"""Commands wait for a database that comes up later than they do, and for replicas before they purge."""

import asyncio
import time
from pathlib import Path

import pytest

from airq.store import waiting
from airq.store.connections import DatabaseUnavailable, SchemaUnusable, urls_of
from airq.store.waiting import wait_for_database, wait_for_replay
from tests.conftest import Airq, Database
from tests.integration.publishing import HEADER

NOWHERE = "postgresql://airq_loader:secret@127.0.0.1:1/airq"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "RETRY_SECONDS", 0.05)


def test_a_database_that_answers_is_not_waited_for(database: Database) -> None:
    told: list[str] = []
    asyncio.run(wait_for_database(database.loader, 0, told.append, schema=True))
    assert told == []


def test_a_database_that_never_comes_is_given_up_in_time_and_its_reason_told_once() -> None:
    told: list[str] = []
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        asyncio.run(wait_for_database(NOWHERE, 0.5, told.append))
    assert 0.3 < time.monotonic() - started < 3
    assert len(told) == 1
    assert "can't be reached" in told[0]
    assert "secret" not in told[0]


def test_a_load_waits_for_the_schema_that_a_migration_makes(database: Database) -> None:
    database.execute("UPDATE airq.alembic_version SET version_num = '0000'")
    told: list[str] = []

    async def migrate_meanwhile() -> None:
        waits = asyncio.create_task(wait_for_database(database.loader, 30, told.append, schema=True))
        while not told:  # noqa: ASYNC110 polled so that telling stays plain
            await asyncio.sleep(0.02)
        assert not waits.done()
        await asyncio.to_thread(database.execute, "UPDATE airq.alembic_version SET version_num = '9999'")
        await waits

    asyncio.run(migrate_meanwhile())
    assert "0000" in told[0]


def test_a_schema_that_never_comes_is_told_as_such(database: Database) -> None:
    database.execute("UPDATE airq.alembic_version SET version_num = '0000'")
    with pytest.raises(SchemaUnusable, match="0000"):
        asyncio.run(wait_for_database(database.loader, 0, lambda told: None, schema=True))


def test_a_server_that_is_no_replica_has_nothing_to_replay(database: Database) -> None:
    assert asyncio.run(wait_for_replay(database.loader, database.loader, 5, lambda told: None)) == []


def test_a_replica_that_can_t_be_reached_is_named_without_its_password(database: Database) -> None:
    [fault] = asyncio.run(wait_for_replay(database.loader, NOWHERE, 0.2, lambda told: None))
    assert "127.0.0.1:1" in fault
    assert "secret" not in fault


def test_every_host_of_a_url_is_waited_for() -> None:
    url = "postgresql://airq_loader:x@one,two:5433/airq?sslmode=require&target_session_attrs=prefer-standby"
    assert urls_of(url) == [
        "postgresql://airq_loader:x@one/airq?sslmode=require",
        "postgresql://airq_loader:x@two:5433/airq?sslmode=require",
    ]


def test_a_load_that_waited_in_vain_fails_and_a_replica_that_is_away_costs_no_load(
    airq: Airq, database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "one.csv"
    file.write_text(f"{HEADER}\n2025-01-01 00:00:00,aq_one,1,2,3,4,5,6\n")
    done = airq("load", "--wait", "1s", file, environment={"AIRQ_LOADER_URL": NOWHERE})
    assert (done.status, "can't be reached" in done.err) == (1, True)
    caches = {
        "AIRQ_PURGE_URL": "http://127.0.0.1:1/",
        "AIRQ_PURGE_TOKEN": "t",
        "AIRQ_PURGE_AGAIN_SECONDS": "0",
    }
    replica = {"AIRQ_REPLICA_URL": NOWHERE, "AIRQ_REPLICA_WAIT_SECONDS": "0"}
    done = airq("load", "--wait", "1s", file, database=database, environment=caches | replica)
    assert done.status == 0, done.err
    assert "answers read there may be old" in done.err
