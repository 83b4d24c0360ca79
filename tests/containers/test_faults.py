"""What breaks, and what the readers see of it."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.containers import csv_files
from tests.containers.conftest import NEXT_TAG, TAG
from tests.containers.service import Answer, Service, eventually

KEPT = "/air_quality?station=aq_one&from=2025-01-01&to=2025-02-01"
LONGEST_OUTAGE_SECONDS = 10.0
PROBE_SECONDS = 15.0
"""Within this time the cache has noticed what became of the API."""

_numbers = itertools.count(1)


def never_asked() -> str:
    """Return a request that nothing can have stored."""
    return f"/air_quality?station=aq_one&limit=1&from=2025-01-01T00:00:00.{next(_numbers):03}Z"


UNTIL_ROWS_ARE_ON_THEIR_WAY = """
    DO $$ BEGIN
        WHILE NOT EXISTS (
            SELECT FROM pg_stat_activity WHERE application_name = 'airq load' AND query LIKE 'COPY%'
        ) LOOP
            PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
        END LOOP;
    END $$
"""


def query(service: Service, statement: str) -> str:
    """Run a statement as the database's superuser; return the first value."""
    return service.run("database", "psql", "-U", "postgres", "-d", "airq", "-qAtc", statement).strip()


def is_told_to_come_back(answer: Answer) -> bool:
    """Tell whether an answer is the problem that says so."""
    assert answer.status == 503, answer
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert int(answer.headers["retry-after"]) > 0
    return bool(answer.json()["status"] == 503)


def store(service: Service) -> bytes:
    """Have the cache keep an answer; return its body."""
    answer = service.get(KEPT)
    assert answer.status == 200
    assert service.get(KEPT).cache == "hit"
    return answer.body


def test_with_the_api_stopped_cached_answers_continue_and_others_are_told_to_come_back(
    service: Service,
) -> None:
    kept = store(service)
    service.compose("stop", "api")
    assert service.inspect("api")["State"]["ExitCode"] == 0
    eventually(lambda: service.get(never_asked()).status == 503, PROBE_SECONDS, "503")
    for _ in range(20):
        answer = service.get(KEPT)
        assert (answer.status, answer.body) == (200, kept)
        assert answer.cache in ("hit", "stale")
    assert is_told_to_come_back(service.get(never_asked()))
    service.compose("start", "api")
    eventually(lambda: service.get(never_asked()).status == 200, PROBE_SECONDS, "an answer from the API")


def test_what_a_probe_leaves_behind_ends_no_session(service: Service) -> None:
    """A probe whose time is up is killed alone; what it began ends later, badly, and is nobody's session."""
    before = service.compose("logs", "--no-log-prefix", "database").out
    session = "psql -U postgres -d airq -qAtc 'SELECT pg_sleep(2)'"
    service.run("database", "sh", "-c", f"{session} & (sh -c 'sleep 0.5; exit 2' &); wait $!")
    said = service.compose("logs", "--no-log-prefix", "database").out.removeprefix(before)
    assert "terminating any other active" not in said


def test_with_the_database_stopped_cached_answers_continue_until_it_is_back(service: Service) -> None:
    kept = store(service)
    service.compose("stop", "database")
    assert service.inspect("database")["State"]["ExitCode"] == 0
    eventually(lambda: service.get(never_asked()).status == 503, PROBE_SECONDS, "503")
    for _ in range(20):
        answer = service.get(KEPT)
        assert (answer.status, answer.body) == (200, kept)
    assert is_told_to_come_back(service.get(never_asked()))
    assert service.run("api", "sh", "-c", "airq-ready || echo not ready").endswith("not ready\n")
    api = service.container("api")
    service.compose("start", "database")
    eventually(lambda: service.get(never_asked()).status == 200, 30, "an answer from the database")
    assert service.container("api") == api


def test_a_database_that_crashed_recovers_by_itself_with_all_that_was_loaded(service: Service) -> None:
    before, container = service.run("api", "airq", "verify"), service.container("database")
    process = query(service, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    service.run("database", "sh", "-c", f"kill -9 {process}")
    eventually(lambda: service.get(never_asked()).status == 200, 30, "an answer from the database")
    assert query(service, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'") != process
    assert service.container("database") == container
    assert service.run("api", "airq", "verify") == before


def test_everything_stops_by_itself_when_it_is_asked_to(service: Service) -> None:
    service.compose("stop")
    codes = {name: service.inspect(name)["State"]["ExitCode"] for name in ("cache", "api", "database")}
    assert codes == {"cache": 0, "api": 0, "database": 0}
    # Compose itself takes its time, so that it is the API's own log which tells how long it took.
    logged = service.compose("logs", "--no-log-prefix", "--tail=20", "api").out.splitlines()
    # Some versions begin each line with an escape that clears the terminal's.
    events = [json.loads(line[line.index("{") :]) for line in logged if "{" in line]
    times = {event["event"]: datetime.fromisoformat(event["timestamp"]) for event in events}
    took = times["service_stopped"] - times["service_draining"]
    assert timedelta() <= took < timedelta(seconds=15)
    assert "database system is shut down" in service.compose("logs", "--tail=20", "database").out


def test_a_restarted_cache_fills_again(service: Service) -> None:
    kept = store(service)
    service.compose("restart", "cache")
    service.up()
    answers = [service.get(KEPT) for _ in range(2)]
    assert [answer.cache for answer in answers] == ["miss", "hit"]
    assert all(answer.body == kept for answer in answers)


def test_a_load_that_is_killed_leaves_nothing_visible_and_the_next_up_loads_all(service: Service) -> None:
    before, usual = service.run("api", "airq", "verify"), service.csv
    service.csv = usual.with_name("large.csv")
    size = ("--stations", "100", "--days", "365", "--interval", "1h")
    subprocess.run([sys.executable, "-m", "airq", "simulate", *size, "-o", service.csv], check=True)
    service.csv.chmod(0o644)
    try:
        watched = threading.Thread(target=query, args=(service, UNTIL_ROWS_ARE_ON_THEIR_WAY))
        watched.start()
        service.compose("up", "--detach", "--no-deps", "load")
        watched.join()
        service.compose("kill", "--signal", "SIGKILL", "load")
        assert service.inspect("load")["State"]["ExitCode"] == 137
        assert service.run("api", "airq", "verify") == before
        service.up()
        loaded, killed = [entry for entry in service.loads() if entry["file"] == "large.csv"]
        assert killed["outcome"] == "interrupted"
        assert (loaded["outcome"], loaded["inserted"]) == ("loaded", 100 * 365 * 24)
    finally:
        service.csv = usual
        service.down("--volumes")


@dataclass
class Reader:
    """Asks again and again in a thread of its own, and notes what comes back."""

    ask: Callable[[], int]
    pause_seconds: float
    seen: list[tuple[float, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told to stop; a connection that fails is noted as status 0."""
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                status = self.ask()
            except OSError:
                status = 0
            self.seen.append((began, status))
            time.sleep(self.pause_seconds)

    def outage_seconds(self) -> float:
        """Return the time from the first answer that was no 200 to the first 200 behind the last such."""
        failed = [moment for moment, status in self.seen if status != 200]
        if not failed:
            return 0.0
        back = min(moment for moment, status in self.seen if status == 200 and moment > failed[-1])
        return back - failed[0]


@contextmanager
def readers(service: Service) -> Iterator[tuple[Reader, Reader]]:
    """Read what is cached and what is not while the block runs."""
    cached = Reader(lambda: service.get(KEPT).status, 0.005)
    uncached = Reader(lambda: service.get(never_asked()).status, 0.05)
    threads = [threading.Thread(target=reader.run) for reader in (cached, cached, uncached)]
    for thread in threads:
        thread.start()
    try:
        yield cached, uncached
    finally:
        for reader in (cached, uncached):
            reader.stop.set()
        for thread in threads:
            thread.join(60)


def assert_only_a_short_outage(cached: Reader, uncached: Reader) -> None:
    """Cached answers never failed; others were refused properly, and not for long."""
    assert len(cached.seen) > 100
    assert {status for _, status in cached.seen} == {200}
    assert {status for _, status in uncached.seen} <= {200, 503}
    assert uncached.outage_seconds() <= LONGEST_OUTAGE_SECONDS


def test_the_next_version_of_the_api_takes_over_under_load(service: Service) -> None:
    store(service)
    before = service.inspect("api")
    try:
        with readers(service) as (cached, uncached):
            time.sleep(1)
            service.settings["AIRQ_TAG"] = NEXT_TAG
            service.up("api", "--no-deps")
            eventually(lambda: service.get(never_asked()).status == 200, PROBE_SECONDS, "an uncached answer")
            time.sleep(1)
        assert_only_a_short_outage(cached, uncached)
        after = service.inspect("api")
        assert after["Id"] != before["Id"]
        assert after["Config"]["Image"].endswith(NEXT_TAG)
    finally:
        service.settings["AIRQ_TAG"] = TAG
        service.up()


def test_an_api_with_a_new_address_is_found(service: Service) -> None:
    store(service)
    network = f"{service.name}_front"

    def address() -> Any:
        return service.inspect("api")["NetworkSettings"]["Networks"][network]["IPAddress"]

    before, place_holder = address(), f"{service.name}-place-holder"
    with readers(service) as (cached, uncached):
        service.compose("stop", "api")
        service.engine.docker(
            "run", "--detach", "--name", place_holder, "--network", network, "--entrypoint", "sleep",
            f"airq-api:{TAG}", "600",
        )  # fmt: skip
        try:
            service.engine.docker("start", service.container("api"))
            assert address() != before
            eventually(lambda: service.get(never_asked()).status == 200, PROBE_SECONDS, "an uncached answer")
        finally:
            service.engine.docker("rm", "--force", place_holder)
    assert_only_a_short_outage(cached, uncached)


def test_every_reader_gets_its_answer_while_a_csv_is_loaded(service: Service) -> None:
    with readers(service) as (cached, uncached):
        service.up()
    assert {status for _, status in cached.seen + uncached.seen} == {200}
    assert service.measurements() == csv_files.read(service.csv)
