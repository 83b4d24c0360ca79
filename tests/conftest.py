"""What tests share: the real input, a real PostgreSQL, databases of their own on it, the real command."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from airq import embedded
from airq.domain.errors import ConfigurationError
from airq.simulation import Simulation, write_csv
from airq.store.migrator import Role, migrate
from tests import ports
from tests.documents import REPOSITORY

REAL_CSV = REPOSITORY.parent / "shared" / "data" / "environment_airq_measurand.csv"

FOR_GOOD = "no installation mends it: "
"""How the reason of a skip begins that stays one where AIRQ_NO_SKIPS is set."""

_OF_THEIR_OWN_VERBS = {REPOSITORY / "tests" / name for name in ("cache", "containers", "deployment")}

_OWN_VERB_SECONDS = 3600.0
"""A test's time where its fixtures may build images and bring everything up first."""


def pytest_configure() -> None:
    """Let commands hear Ctrl-C also where a shell's `&` began the run, whose children ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what needs more than Python, unless it is named: it has verbs of its own."""
    if collection_path not in _OF_THEIR_OWN_VERBS:
        return None
    named = (Path(argument.partition("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(collection_path) for path in named) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give more time to what needs more than Python."""
    for item in items:
        if any(item.path.is_relative_to(directory) for directory in _OF_THEIR_OWN_VERBS):
            item.add_marker(pytest.mark.timeout(_OWN_VERB_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let no test be left out where AIRQ_NO_SKIPS says that everything is there that it needs."""
    report = yield
    if report.skipped and "AIRQ_NO_SKIPS" in os.environ and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(FOR_GOOD):
            report.outcome = "failed"
            report.longrepr = f"AIRQ_NO_SKIPS is set, and this was skipped: {reason}"
    return report


@pytest.fixture(scope="session")
def real_csv() -> Path:
    """The public file that `/air_quality` was first made for; it is no part of this repository."""
    if not REAL_CSV.exists():
        pytest.skip(f"{FOR_GOOD}the real input, ../shared/data/environment_airq_measurand.csv, is not here")
    return REAL_CSV


@pytest.fixture(scope="session")
def many_rows_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the real one, with 960 rows of ten stations in January 2025."""
    path = tmp_path_factory.mktemp("many-rows") / "measurements.csv"
    with path.open("wb") as file:
        write_csv(Simulation(stations=10, days=1), file)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Server]:
    """A PostgreSQL for the whole run, in a directory that any account can reach."""
    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("postgresql") / "data"
        if os.geteuid() == 0:
            # pytest's directories are for root alone, and the server does not run as root.
            reachable = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airq-test-")))
            reachable.chmod(0o711)
            directory = reachable / "data"
        try:
            running = stack.enter_context(embedded.running(directory))
        except ConfigurationError as error:
            if "airq[embedded]" in str(error):
                pytest.skip(f"no embedded PostgreSQL: {error}")
            raise
        # What tests end are processes, never the machine: nothing need wait for the disk.
        execute(running.url, "ALTER SYSTEM SET fsync = off")
        execute(running.url, "SELECT pg_reload_conf()")
        yield running


def execute(url: str, *statements: str) -> None:
    """Run statements as the role that a URL names; each is committed."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


@dataclass(frozen=True)
class Database:
    """An empty, migrated database: its URL for each role."""

    owner: str
    loader: str
    reader: str

    def execute(self, *statements: str) -> None:
        """Run statements as the owner."""
        execute(self.owner, *statements)

    def fetch(self, statement: str) -> list[tuple[object, ...]]:
        """Return a query's rows."""

        async def run() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.owner)
            rows = await connection.fetch(statement)
            await connection.close()
            return [tuple(row) for row in rows]

        return asyncio.run(run())


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def make_database(server: embedded.Server) -> Callable[[], Database]:
    """Makes databases on the session's server, each empty and migrated."""

    def make() -> Database:
        name = f"test_{next(_numbers)}"
        execute(server.url, f"CREATE DATABASE {name}")
        owner = server.url.replace("/airq?", f"/{name}?")
        asyncio.run(migrate(owner, Role("airq_loader", None), Role("airq_reader", None)))
        user = owner.split("//")[1].split("@")[0]
        return Database(
            owner,
            owner.replace(f"//{user}@", "//airq_loader@"),
            owner.replace(f"//{user}@", "//airq_reader@"),
        )

    return make


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    """An empty database of this test's own."""
    return make_database()


@dataclass(frozen=True)
class Finished:
    """An `airq` command that has ended."""

    status: int
    out: str
    err: str


Airq = Callable[..., Finished]


@pytest.fixture
def airq() -> Airq:
    """Runs the real command: `airq("load", "x.csv", database=database, stdin=b"…")`."""

    def run(
        *arguments: str | Path,
        database: Database | None = None,
        stdin: bytes = b"",
        environment: dict[str, str] | None = None,
        timeout: float = 60,
    ) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "airq", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=timeout,
            env=airq_environment(database) | (environment or {}),
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def airq_environment(database: Database | None) -> dict[str, str]:
    """Return this process's environment without its own settings of airq, and with a database's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRQ_")}
    if database is None:
        return kept
    return kept | {
        "AIRQ_DATABASE_URL": database.owner,
        "AIRQ_LOADER_URL": database.loader,
        "AIRQ_READER_URL": database.reader,
    }


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports on which nothing listens."""
    return ports.free_port
