"""The life of an API process: it starts, outlives its database, and stops without losing a request."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from airq import embedded
from airq.simulation import Simulation, write_csv
from tests.conftest import Airq, Database, airq_environment
from tests.e2e.serving import get, reachable_directory
from tests.integration.api.process import Answer, Api, serving
from tests.integration.embedded.processes import is_alive, server_pid, wait_for_end
from tests.ports import free_port

EXPORT = "/air_quality?format=csv"
LONG = Simulation(stations=40, days=40, interval=timedelta(minutes=15))
"""More rows than the buffers between the API and a client hold."""


class Server:
    """A PostgreSQL of this test's own that can be stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.url = ""

    def start(self) -> None:
        """Start it; its address stays the same."""
        self.url = self._stack.enter_context(embedded.running(self._directory)).url

    def stop(self) -> None:
        """Stop it as an operator would who does not wait for its users."""
        pid_file = self._directory / "cluster" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
        deadline = time.monotonic() + 20
        while pid_file.exists():
            assert time.monotonic() < deadline, "PostgreSQL did not stop"
            time.sleep(0.02)

    def close(self) -> None:
        """Stop it for good."""
        self._stack.close()


@pytest.fixture(scope="module")
def own_server(server: embedded.Server) -> Iterator[Server]:
    # `server` says so where PostgreSQL can't be embedded; this one is stopped and started besides it.
    # pytest's own directories are closed to the account that runs PostgreSQL for root.
    directory = Path(tempfile.mkdtemp(prefix="airq-test-"))
    directory.chmod(0o711)
    own = Server(directory / "data")
    own.start()
    yield own
    own.close()
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def environment(own_server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Leads to the server's database, which holds `LONG`."""
    path = tmp_path_factory.mktemp("serve") / "long.csv"
    with path.open("wb") as file:
        write_csv(LONG, file)
    environment = airq_environment(None) | {"AIRQ_DATABASE_URL": own_server.url}
    for command in (["migrate"], ["load", str(path)]):
        subprocess.run(
            [sys.executable, "-m", "airq", *command], env=environment, check=True, capture_output=True
        )
    return environment


class Crowd:
    """Clients that ask one after the other, as fast as they are answered."""

    def __init__(self, api: Api, clients: int) -> None:
        self.answers: list[Answer] = []
        self.slowest_seconds = 0.0
        self.failures: list[Exception] = []
        self._api = api
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]

    def _ask(self, number: int) -> None:
        targets = ["/air_quality?limit=5", "/air_quality/latest?station=x", "/stations", "/readyz"]
        while not self._enough.is_set():
            began = time.monotonic()
            try:
                self.answers.append(self._api.get(targets[number % len(targets)], timeout=20))
            except (OSError, http.client.HTTPException) as failure:
                self.failures.append(failure)
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._enough.set()
            for thread in self._threads:
                thread.join()


def wait_for(api: Api, target: str, status: int, seconds: float) -> Answer:
    """Ask until an answer has a status, and fail if that takes too long."""
    deadline = time.monotonic() + seconds
    while (answer := api.get(target)).status != status:
        assert time.monotonic() < deadline, f"{target} still answers {answer.status}"
        time.sleep(0.05)
    return answer


def wait_for_event(api: Api, name: str, seconds: float) -> None:
    """Wait until an event is in the log, and fail if that takes too long."""
    deadline = time.monotonic() + seconds
    while not api.events(name):
        assert time.monotonic() < deadline, f"{name} was not logged"
        time.sleep(0.005)


def test_the_service_outlives_a_stop_of_its_database_under_load(
    own_server: Server, environment: dict[str, str]
) -> None:
    with serving(environment) as api:
        crowd = Crowd(api, 6)
        with crowd.asking():
            time.sleep(0.5)
            own_server.stop()
            lost = wait_for(api, "/readyz", 503, 5)
            assert lost.kind == "database-unavailable"
            assert lost.headers["retry-after"]
            assert api.get("/livez").status == 200
            began = time.monotonic()
            metrics = api.metrics()
            assert time.monotonic() - began < 5
            assert metrics["airq_database_up"] == 0
            assert metrics["airq_pool_limit"] == 10
            assert "airq_measurements" not in metrics
            own_server.start()
            wait_for(api, "/readyz", 200, 5)
            # The crowd's requests find it, once the loss is more than a moment ago.
            wait_for_event(api, "database_found", 5)
            time.sleep(0.5)
        assert not crowd.failures
        assert crowd.slowest_seconds < 5
        counted = Counter(answer.status for answer in crowd.answers)
        assert counted.keys() <= {200, 404, 503}
        unavailable = [answer for answer in crowd.answers if answer.status == 503]
        assert unavailable
        assert {answer.kind for answer in unavailable} == {"database-unavailable"}
        assert all(answer.headers["retry-after"] == "5" for answer in unavailable)
        [lost_event], [found_event] = api.events("database_lost"), api.events("database_found")
        assert lost_event["level"] == "error"
        assert lost_event["reason"]
        assert 1 <= found_event["after_seconds"] < 10
        assert not api.events("request_failed")
        assert api.metrics()["airq_database_up"] == 1


def test_the_service_may_start_before_its_database(own_server: Server, environment: dict[str, str]) -> None:
    own_server.stop()
    try:
        with serving(environment) as api:
            assert api.get("/livez").status == 200
            assert api.get("/readyz").status == 503
            assert api.get("/air_quality?station=x").kind == "database-unavailable"
            own_server.start()
            wait_for(api, "/readyz", 200, 5)
            deadline = time.monotonic() + 5
            while not api.events("database_found"):
                assert time.monotonic() < deadline, "the database is not told to be found"
                assert api.get("/readyz").status == 200
                time.sleep(0.05)
            assert api.get("/air_quality?limit=5").json()["meta"]["count"] == 5
            assert len(api.events("database_lost")) == len(api.events("database_found")) == 1
    except BaseException:
        own_server.start()
        raise


def read_slowly(response: http.client.HTTPResponse, pause_seconds: float) -> bytes:
    """Read an answer to its end in small steps."""
    parts = []
    while part := response.read(200_000):
        parts.append(part)
        time.sleep(pause_seconds)
    return b"".join(parts)


def test_a_stop_fails_readiness_first_and_lets_running_requests_finish(environment: dict[str, str]) -> None:
    with serving(environment | {"AIRQ_DRAIN_SECONDS": "5"}) as api:
        idle = api.connect()
        idle.request("GET", "/livez")
        answered = idle.getresponse()
        assert (answered.headers["connection"], answered.read() != b"") == (None, True)
        running = api.connect()
        running.request("GET", EXPORT)
        response = running.getresponse()
        first = response.read(1000)
        asked = time.monotonic()
        api.process.send_signal(signal.SIGTERM)
        draining = wait_for(api, "/readyz", 503, 2)
        assert draining.kind == "draining"
        # Whoever still comes is served.
        while time.monotonic() - asked < 1.0:
            assert api.get("/air_quality?limit=5").status == 200
            assert api.get("/readyz").status == 503
            assert api.get("/livez").status == 200
            time.sleep(0.05)
        # Who holds a connection is told to make its next one elsewhere.
        idle.request("GET", "/livez")
        last = idle.getresponse()
        assert (last.status, last.headers["connection"], last.read() != b"") == (200, "close", True)
        assert refused_from(api, asked + 15) - asked > 4.5
        whole = first + read_slowly(response, 0.03)
        assert whole.count(b"\r\n") == LONG.rows + 1
        running.close()
        idle.close()
        assert api.process.wait(10) == 0
        [began], [ended] = api.events("service_draining"), api.events("service_stopped")
        assert (began["signal"], began["seconds"]) == ("SIGTERM", 5)
        assert ended["unfinished"] == 0
        assert not api.events("request_failed")
        assert api.process.stderr is not None
        assert "Traceback" not in api.process.stderr.read()


def refused_from(api: Api, deadline: float) -> float:
    """Ask until connections are taken no more, and return when that was; up to then all are served."""
    while time.monotonic() < deadline:
        try:
            assert api.get("/livez").status == 200
        except ConnectionError:
            return time.monotonic()
        time.sleep(0.05)
    raise AssertionError("connections are still taken")


def test_requests_that_never_finish_are_cut_off_when_their_time_is_up(environment: dict[str, str]) -> None:
    with serving(environment | {"AIRQ_SHUTDOWN_SECONDS": "1"}) as api:
        connection = api.connect()
        connection.request("GET", EXPORT)
        response = connection.getresponse()
        response.read(1000)
        began = time.monotonic()
        assert api.stop() == 0
        assert time.monotonic() - began < 8
        assert api.events("service_stopped")[0]["unfinished"] == 1
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
        response.close()
        connection.close()


def test_a_second_signal_ends_the_process_at_once(environment: dict[str, str]) -> None:
    with serving(environment | {"AIRQ_DRAIN_SECONDS": "60"}) as api:
        api.process.send_signal(signal.SIGTERM)
        wait_for(api, "/readyz", 503, 2)
        assert api.process.poll() is None
        began = time.monotonic()
        api.process.send_signal(signal.SIGINT)
        assert api.process.wait(5) == 128 + signal.SIGINT
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_is_heard_until_the_very_end(database: Database, second: signal.Signals) -> None:
    with serving(airq_environment(database)) as api:
        api.process.send_signal(signal.SIGTERM)
        wait_for_event(api, "service_stopped", 10)
        api.process.send_signal(second)
        # Half a second is left at most; where it was over already, there was nothing to end.
        assert api.process.wait(10) in (128 + second, 0)
        assert api.process.stderr is not None
        assert "Traceback" not in api.process.stderr.read()


def test_ctrl_c_stops_a_service_that_nobody_uses_at_once(environment: dict[str, str]) -> None:
    with serving(environment) as api:
        began = time.monotonic()
        api.process.send_signal(signal.SIGINT)
        assert api.process.wait(10) == 0
        assert time.monotonic() - began < 5


@pytest.fixture
def own_directory() -> Iterator[Path]:
    """A data directory for a PostgreSQL of the service's own, which the account that runs it can reach."""
    with reachable_directory() as directory:
        yield directory / "data"


def next_postmaster(directory: Path, killed: int) -> int:
    """Wait until another PostgreSQL has taken a killed one's place; return its process id."""
    deadline = time.monotonic() + 20
    while True:
        with suppress(OSError, IndexError):  # Its file is not there, or not written yet.
            if (found := server_pid(directory)) != killed:
                return found
        assert time.monotonic() < deadline, "it was not started again"
        time.sleep(0.05)


def test_services_bring_a_killed_postgresql_of_their_own_back_together(
    server: embedded.Server, own_directory: Path
) -> None:
    settings = {"AIRQ_DATA_DIRECTORY": str(own_directory)}
    with serving(settings) as one, serving(settings) as other:
        for api in (one, other):
            wait_for(api, "/readyz", 200, 5)
        killed = server_pid(own_directory)
        os.kill(killed, signal.SIGKILL)
        found = next_postmaster(own_directory, killed)
        for api in (one, other):
            wait_for(api, "/readyz", 200, 20)
        time.sleep(3)
        assert server_pid(own_directory) == found
        assert [one.stop(), other.stop()] == [0, 0]
        said = []
        for api in (one, other):
            assert api.process.stderr is not None
            said += api.process.stderr.read().splitlines()
    assert said.count(f"airq: PostgreSQL in {own_directory} has ended by itself") == 1
    assert said.count(f"airq: starting PostgreSQL in {own_directory}") == 2
    assert not is_alive(own_directory)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_waiting_for_a_postgresql_of_its_own(
    server: embedded.Server, own_directory: Path, second: signal.Signals
) -> None:
    with serving({"AIRQ_DATA_DIRECTORY": str(own_directory)}) as api:
        pid = server_pid(own_directory)
        os.kill(pid, signal.SIGSTOP)  # So that it does not stop.
        try:
            api.process.send_signal(signal.SIGTERM)
            wait_for_event(api, "service_stopped", 10)
            with pytest.raises(subprocess.TimeoutExpired):
                api.process.wait(2)
            api.process.send_signal(second)
            assert api.process.wait(5) == 128 + second
        finally:
            os.kill(pid, signal.SIGCONT)
            wait_for_end(own_directory)


@pytest.mark.parametrize("variable", ["AIRQ_PORT", "AIRQ_METRICS_PORT"])
def test_a_port_that_is_taken_is_told_with_the_way_out(airq: Airq, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {"AIRQ_PORT": str(free_port()), "AIRQ_METRICS_PORT": str(free_port()), variable: port}
        done = airq("serve", environment=ports)
    assert done.status == 2
    assert f"127.0.0.1:{port}" in done.err
    assert variable in done.err
    assert "Traceback" not in done.err


def test_with_a_database_url_the_embedded_server_is_not_even_imported(tmp_path: Path) -> None:
    file = tmp_path / "any.csv"
    file.write_text("timestamp,station,no2\n")
    program = "import sys; sys.modules['airq.embedded'] = None; from airq.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--load", str(file)],
        env=airq_environment(None)
        | {
            "AIRQ_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere",
            "AIRQ_PORT": str(free_port()),
            "AIRQ_METRICS_PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "can't be reached" in done.stderr) == (1, True), done.stderr


def test_a_host_that_is_none_of_this_machine_is_told(airq: Airq) -> None:
    done = airq("serve", environment={"AIRQ_HOST": "192.0.2.1", "AIRQ_PORT": str(free_port())})
    assert done.status == 2
    assert "192.0.2.1" in done.err


def test_a_star_listens_on_every_address_that_there_is(database: Database) -> None:
    hosts = ["127.0.0.1"]
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        hosts.append("[::1]")
    with serving(airq_environment(database) | {"AIRQ_HOST": "*"}) as api:
        [started] = api.events("service_started")
        assert started["url"] == f"http://127.0.0.1:{api.port}"
        for host in hosts:
            assert get(f"http://{host}:{api.port}/readyz").status == 200
            assert get(f"http://{host}:{api.metrics_port}/metrics").status == 200


def test_a_fresh_database_says_what_it_waits_for(database: Database) -> None:
    with serving(airq_environment(database)) as api:
        started = api.events("service_started")[0]
        assert started["url"] == f"http://127.0.0.1:{api.port}"
        assert started["metrics_url"] == f"http://127.0.0.1:{api.metrics_port}/metrics"
        assert api.get("/readyz").status == 200
        assert api.get("/air_quality").json()["data"] == []
        assert api.get("/air_quality/latest").json()["data"] == []
        assert api.get("/stations").json()["data"] == []
        assert api.get(EXPORT).body.count(b"\r\n") == 1
        assert "airq_newest_measurement_age_seconds" not in api.metrics()
        assert api.metrics()["airq_measurements"] == 0
