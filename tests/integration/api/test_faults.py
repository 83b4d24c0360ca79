"""A database that is slow, busy, silent or not made for airq: told as such, and never a hang."""

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from airq import embedded
from tests.conftest import Database
from tests.integration.api import listing
from tests.integration.api.conftest import Serve, load
from tests.integration.api.listing import Row
from tests.integration.api.process import Answer, Api
from tests.integration.sessions import END_READERS, session


def at_once(api: Api, *targets: str) -> list[Answer]:
    """Send requests at the same time and return their answers."""
    answers: dict[int, Answer] = {}

    def ask(number: int, target: str) -> None:
        answers[number] = api.get(target)

    threads = [threading.Thread(target=ask, args=item) for item in enumerate(targets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[number] for number in range(len(targets))]


def wait_until_answered(api: Api, target: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Wait until the database is there for a request."""
    deadline = time.monotonic() + 10
    while (answer := api.get(target, headers)).status == 503:
        assert time.monotonic() < deadline, answer.body
        time.sleep(0.05)
    return answer


def wait_until_served(api: Api) -> None:
    """Wait until measurements are served again."""
    answer = wait_until_answered(api, "/air_quality")
    assert answer.status == 200, answer.body


def check_unavailable(answer: Answer, kind: str) -> str:
    """Check an answer that asks the client to come again, and return what it says."""
    assert (answer.status, answer.kind) == (503, kind)
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["cache-control"] == "no-store"
    detail: str = answer.json()["detail"]
    return detail


def test_slow_and_crowded_requests_are_told_so_and_the_database_is_not_called_lost(
    serve: Serve, database: Database
) -> None:
    settings = {"AIRQ_STATEMENT_TIMEOUT_SECONDS": "10", "AIRQ_POOL_SIZE": "2"}
    with serve(database, **settings) as api:
        assert api.get("/air_quality").status == 200
        with session(database, "LOCK airq.measurement IN ACCESS EXCLUSIVE MODE"):
            began = time.monotonic()
            answers = at_once(api, *["/air_quality"] * 6, "/readyz", "/livez")
            elapsed = time.monotonic() - began
            # Those that got a connection, and those that waited for one.
            slow = [answer for answer in answers[:6] if answer.kind == "query-too-slow"]
            crowded = [answer for answer in answers[:6] if answer.kind == "too-busy"]
            assert (len(slow), len(crowded)) == (2, 4)
            assert "shorter time range" in check_unavailable(slow[0], "query-too-slow")
            check_unavailable(crowded[0], "too-busy")
            # Being busy is no reason to be sent no requests: the others would be busy with them then.
            assert (answers[6].status, answers[7].status) == (200, 200)
            assert elapsed < 20
        assert api.get("/air_quality").status == 200
        assert not api.events("database_lost")
        assert not api.events("request_failed")
        assert api.metrics()["airq_database_up"] == 1


def test_a_schema_that_is_missing_or_too_old_is_told_with_what_to_do(
    serve: Serve, database: Database
) -> None:
    with serve(database) as api:
        assert api.get("/readyz").json()["status"] == "ready"
        database.execute("UPDATE airq.alembic_version SET version_num = '0000'")
        assert "airq migrate" in check_unavailable(api.get("/readyz"), "schema-too-old")
        database.execute("REVOKE ALL ON airq.measurement FROM airq_reader")
        assert "airq migrate" in check_unavailable(api.get("/air_quality"), "schema-too-old")
        database.execute("DROP SCHEMA airq CASCADE")
        for target in (
            "/readyz",
            "/air_quality",
            "/air_quality?format=csv",
            "/air_quality/latest",
            "/stations",
        ):
            assert "airq migrate" in check_unavailable(api.get(target), "schema-too-old")
        assert "airq migrate" in check_unavailable(api.get("/air_quality?station=a"), "schema-too-old")
        assert api.get("/livez").status == 200
        metrics = api.metrics()
        assert "airq_measurements" not in metrics
        assert metrics["airq_pool_limit"] == 10
        assert not api.events("request_failed")


def test_a_fault_of_our_own_is_a_problem_and_logged_with_its_trace(serve: Serve, database: Database) -> None:
    with serve(database) as api:
        database.execute(
            "ALTER TABLE airq.coverage ALTER COLUMN version TYPE text USING 'no number'",
            "ALTER TABLE airq.station ALTER COLUMN id TYPE bigint",
        )
        answer = api.get("/stations", {"X-Request-ID": "fault-1"})
        assert (answer.status, answer.kind) == (500, "internal-error")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "Traceback" not in answer.body.decode()
        assert api.request_event("fault-1")["status"] == 500
        [failure] = [event for event in api.events("request_failed") if event["request_id"] == "fault-1"]
        assert failure["level"] == "error"
        assert failure["traceback"].startswith("Traceback")
        assert (failure["method"], failure["route"]) == ("GET", "/stations")


def restore(database: Database, *statements: str) -> None:
    """Do to a database what a restore from a backup does: it ends all connections."""
    database.execute(*statements, END_READERS)


@pytest.fixture
def stations_a_and_b(database: Database, tmp_path: Path) -> Database:
    """A database with a measurement of 1 at station a, and one of 2 at station b."""
    at = datetime(2020, 1, 1, tzinfo=UTC)
    rows = [Row(at, name, (value,) * 6) for name, value in (("a", 1.0), ("b", 2.0))]
    listing.write_csv(rows, tmp_path / "x")
    load(database, tmp_path / "x")
    return database


@pytest.mark.parametrize("path", ["/air_quality", "/air_quality/latest"])
def test_a_database_that_comes_back_from_a_backup_is_read_by_its_own_numbers(
    serve: Serve, stations_a_and_b: Database, path: str
) -> None:
    with serve(stations_a_and_b) as api:
        assert api.rows(f"{path}?station=a")[0]["so2"] == 1
        # Behind a restore a station may have another one's number.
        restore(
            stations_a_and_b,
            "UPDATE airq.station SET name = 'x' WHERE name = 'a'",
            "UPDATE airq.station SET name = 'a' WHERE name = 'b'",
            "UPDATE airq.station SET name = 'b' WHERE name = 'x'",
        )
        # The first answer already, whose request opened the connection that it was read by.
        found = wait_until_answered(api, f"{path}?station=a").json()["data"]
        assert [(row["station"], row["so2"]) for row in found] == [("a", 2)]
        assert [(row["station"], row["so2"]) for row in api.rows(path)] == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("target", ["/air_quality?", "/air_quality?format=csv&", "/air_quality/latest?"])
@pytest.mark.parametrize("known", [None, "*"])
def test_a_station_that_a_restored_database_lacks_is_unknown(
    serve: Serve, stations_a_and_b: Database, target: str, known: str | None
) -> None:
    with serve(stations_a_and_b) as api:
        assert api.get(f"{target}station=a").status == 200
        restore(stations_a_and_b, "UPDATE airq.station SET name = 'c' WHERE name = 'a'")
        answer = wait_until_answered(api, f"{target}station=a", {"If-None-Match": known} if known else {})
        assert (answer.status, answer.kind) == (404, "unknown-station")


def test_a_name_that_nobody_has_is_looked_up_without_reading_all_names(
    serve: Serve, stations_a_and_b: Database
) -> None:
    with serve(stations_a_and_b) as api:
        assert api.get("/air_quality?station=b").status == 200
        stations_a_and_b.execute(
            """
            CREATE FUNCTION airq.refuse(name text) RETURNS boolean LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'the name % was read', name; END $$
            """,
            "ALTER TABLE airq.station RENAME TO hidden",
            "CREATE VIEW airq.station AS SELECT * FROM airq.hidden WHERE airq.refuse(name)",
            "GRANT SELECT ON airq.station TO airq_reader",
        )
        assert api.get("/stations").status == 500
        for target in ("/air_quality?station=b&station=", "/air_quality/latest?station=", "/stations/"):
            assert api.get(f"{target}nobody").kind == "unknown-station"


class Wire:
    """A way to the database that can fall silent without closing anything, as a lost host does."""

    def __init__(self, server: embedded.Server) -> None:
        directory = unquote(server.url.partition("host=")[2])
        self._target = Path(directory) / ".s.PGSQL.5432"
        self.directory = Path(tempfile.mkdtemp(prefix="airq-wire-"))
        self._open = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def url(self, url: str) -> str:
        """Return a URL that leads here instead of to the server."""
        return url.partition("host=")[0] + "host=" + quote(str(self.directory), safe="")

    def start(self) -> None:
        """Begin to pass everything on."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.pass_on()

    def pass_on(self) -> None:
        """Pass everything on again."""
        self._loop.call_soon_threadsafe(self._open.set)

    def fall_silent(self) -> None:
        """Take bytes and pass none of them on."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def stop(self) -> None:
        """Close everything."""

        async def close() -> None:
            self._listening.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        shutil.rmtree(self.directory)

    async def _serve(self) -> None:
        path = self.directory / ".s.PGSQL.5432"
        self._listening = await asyncio.start_unix_server(self._connect, path)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._target)
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        finally:
            back.close()
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.fixture
def wire(server: embedded.Server) -> Iterator[Wire]:
    wire = Wire(server)
    wire.start()
    yield wire
    wire.stop()


def test_a_database_that_falls_silent_is_given_up_and_found_again(
    serve: Serve, database: Database, wire: Wire
) -> None:
    settings = {"AIRQ_READER_URL": wire.url(database.reader), "AIRQ_STATEMENT_TIMEOUT_SECONDS": "1"}
    with serve(database, **settings) as api:
        assert api.get("/air_quality").status == 200
        wire.fall_silent()
        began = time.monotonic()
        answers = at_once(api, "/air_quality", "/air_quality/latest", "/stations", "/readyz")
        for answer in answers:
            check_unavailable(answer, "database-unavailable")
        assert time.monotonic() - began < 15
        assert api.get("/livez").status == 200
        wire.pass_on()
        wait_until_served(api)
        assert len(api.events("database_lost")) == len(api.events("database_found")) == 1
