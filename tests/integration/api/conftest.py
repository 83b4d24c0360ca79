"""One API process for most tests, with data made by hand; one more with enough rows for long exports."""

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from airq import loads
from airq.ingest.sources import open_source
from airq.simulation import Simulation, write_csv
from tests.conftest import REAL_CSV, Database, airq_environment
from tests.integration.api import listing
from tests.integration.api.listing import Row
from tests.integration.api.process import Api, serving
from tests.integration.publishing import Said

Serve = Callable[..., AbstractContextManager[Api]]

BIG = Simulation(stations=40, days=40, interval=timedelta(minutes=15))
"""More than any buffer between the API and a client holds."""


def load(database: Database, path: Path) -> int:
    """Load a file whose rows are all good; return its number in the ledger."""
    with open_source(str(path), io.BytesIO()) as source:
        entry = asyncio.run(loads.load(database.loader, source, loads.Options(), Said()))
    assert (entry.outcome, entry.rejected) == ("loaded", 0)
    return entry.id


def undo(database: Database, number: int) -> None:
    """Take a load back."""
    asyncio.run(loads.undo_load(database.loader, number, Said()))


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """The rows that `api` serves, in the order of listings."""
    real = listing.read_csv(REAL_CSV) if REAL_CSV.exists() else []
    return sorted([*listing.hand_made(), *real], key=lambda row: row.key)


@pytest.fixture(scope="session")
def small_database(
    make_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> Database:
    """A database with `rows`; nobody changes it."""
    database = make_database()
    path = tmp_path_factory.mktemp("api") / "rows.csv"
    listing.write_csv(rows, path)
    load(database, path)
    return database


@pytest.fixture(scope="session")
def api(small_database: Database) -> Iterator[Api]:
    """The API process that most tests ask."""
    with serving(airq_environment(small_database)) as running:
        yield running


@pytest.fixture(scope="session")
def big_database(make_database: Callable[[], Database], tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with `BIG.rows` rows; who changes it undoes that."""
    database = make_database()
    path = tmp_path_factory.mktemp("api") / "big.csv"
    with path.open("wb") as file:
        write_csv(BIG, file)
    load(database, path)
    return database


@pytest.fixture(scope="session")
def big_api(big_database: Database) -> Iterator[Api]:
    """The API process for long exports; its small pool shows who holds on to connections."""
    with serving(airq_environment(big_database) | {"AIRQ_POOL_SIZE": "4"}) as running:
        yield running


@pytest.fixture
def serve() -> Serve:
    """Runs an API process of the test's own: `with serve(database, AIRQ_POOL_SIZE="2") as api`."""

    def run(database: Database, **settings: str) -> AbstractContextManager[Api]:
        return serving(airq_environment(database) | settings)

    return run
