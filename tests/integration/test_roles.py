"""What each role may do, and what not: the loader owns nothing, the reader changes nothing."""

import asyncio

import asyncpg
import pytest

from airq.store.migrator import Role, migrate
from tests.conftest import Database
from tests.integration.publishing import Publisher, row

OCTOBER = "2016-10-01 00:00:00"
TABLES = (
    "measurement", "measurement_2016_10", "station", "load", "load_month", "rejected_row",
    "replaced_measurement", "coverage", "alembic_version",
)  # fmt: skip


@pytest.fixture
def loaded(publisher: Publisher) -> Database:
    publisher.load(row(OCTOBER, "a", 1))
    return publisher.database


def refusals(url: str, statements: list[str]) -> dict[str, str]:
    """Try statements, each of which is rolled back; return what is said to each."""

    async def run() -> dict[str, str]:
        connection = await asyncpg.connect(url)
        said = {}
        for statement in statements:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(statement)
                said[statement] = "done"
            except asyncpg.PostgresError as error:
                said[statement] = str(error)
            await transaction.rollback()
        await connection.close()
        return said

    return asyncio.run(run())


SCHEMA_CHANGES = [
    *(f"DROP TABLE airq.{table}" for table in TABLES),
    *(f"TRUNCATE airq.{table}" for table in TABLES),
    *(f"ALTER TABLE airq.{table} ADD COLUMN more integer" for table in TABLES),
    *(f"ALTER TABLE airq.{table} OWNER TO CURRENT_USER" for table in TABLES),
    "CREATE TABLE airq.other (n integer)",
    "CREATE INDEX ON airq.measurement_2016_10 (load_id)",
    "DROP SCHEMA airq CASCADE",
    "DROP FUNCTION airq.add_partition(date)",
    "GRANT SELECT ON airq.measurement TO PUBLIC",
    "CREATE ROLE intruder",
]


@pytest.mark.parametrize("role", ["loader", "reader"])
def test_neither_role_can_change_the_schema(loaded: Database, role: str) -> None:
    said = refusals(getattr(loaded, role), SCHEMA_CHANGES)
    # PostgreSQL answers a GRANT of what one does not have with a warning.
    said.pop("GRANT SELECT ON airq.measurement TO PUBLIC")
    assert all(answer.startswith(("must be owner", "permission denied")) for answer in said.values()), said
    assert loaded.fetch(
        "SELECT FROM information_schema.table_privileges WHERE table_schema = 'airq' AND grantee = 'PUBLIC'"
    ) == []  # fmt: skip


def test_the_roles_own_nothing_and_have_no_attributes(loaded: Database) -> None:
    assert loaded.fetch(
        "SELECT relname FROM pg_class WHERE relowner IN ('airq_loader'::regrole, 'airq_reader'::regrole)"
    ) == []  # fmt: skip
    assert loaded.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname IN ('airq_loader', 'airq_reader') AND "
        "(rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)"
    ) == []  # fmt: skip


def test_the_reader_reads_what_the_api_needs_and_writes_nowhere(loaded: Database) -> None:
    readable = ["measurement", "station", "coverage", "load", "load_month", "alembic_version"]
    said = refusals(loaded.reader, [f"SELECT * FROM airq.{table}" for table in readable])
    assert set(said.values()) == {"done"}
    said = refusals(loaded.reader, [
        *(f"DELETE FROM airq.{table}" for table in TABLES),
        "INSERT INTO airq.station (name) VALUES ('x')",
        "UPDATE airq.measurement SET so2 = 0",
        "UPDATE airq.coverage SET version = 0",
        "UPDATE airq.load SET outcome = 'loaded'",
        "SELECT airq.add_partition('2020-01-01')",
        "SELECT airq.index_partition('2016-10-01')",
        # What was refused may hold what was never meant to be public.
        "SELECT * FROM airq.rejected_row",
    ])  # fmt: skip
    assert all(answer.startswith("permission denied") for answer in said.values()), said


def test_the_loader_can_not_rewrite_history(loaded: Database) -> None:
    said = refusals(loaded.loader, [
        "DELETE FROM airq.load",
        "DELETE FROM airq.station",
        "DELETE FROM airq.coverage",
        "DELETE FROM airq.load_month",
        "UPDATE airq.station SET name = 'x'",
        "UPDATE airq.alembic_version SET version_num = 'x'",
        "UPDATE airq.replaced_measurement SET so2 = 0",
    ])  # fmt: skip
    assert all(answer.startswith("permission denied") for answer in said.values()), said


@pytest.mark.parametrize("month", ["1899-11-01", "2100-02-01", "0001-01-01", "infinity"])
def test_the_owners_function_makes_no_partition_outside_of_the_years(loaded: Database, month: str) -> None:
    statement = f"SELECT airq.add_partition('{month}')"
    assert "the year is outside of 1900 to 2099" in refusals(loaded.loader, [statement])[statement]


def test_partitions_that_a_load_makes_are_the_owners_and_open_to_both_roles(loaded: Database) -> None:
    owner = loaded.fetch("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'measurement'")
    parts = loaded.fetch("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'measurement_2016_10'")
    assert parts == owner
    for url in (loaded.loader, loaded.reader):
        assert set(refusals(url, ["SELECT * FROM airq.measurement_2016_10"]).values()) == {"done"}


def test_a_role_that_comes_later_can_use_the_partitions_that_are_there(loaded: Database) -> None:
    late = "late_" + loaded.owner.split("/")[3].split("?")[0]
    asyncio.run(migrate(loaded.owner, Role(f"{late}_loader", None), Role(f"{late}_reader", None)))
    for name, statement, answer in (
        ("loader", "DELETE FROM airq.measurement_2016_10", "done"),
        ("reader", "SELECT * FROM airq.measurement_2016_10", "done"),
        ("reader", "DELETE FROM airq.measurement_2016_10", "permission denied for table measurement_2016_10"),
    ):
        url = loaded.reader.replace("//airq_reader@", f"//{late}_{name}@")
        assert refusals(url, [statement])[statement] == answer
