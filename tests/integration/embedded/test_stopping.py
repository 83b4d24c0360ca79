"""How the server stops, and what a start that is broken off leaves."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from airq import embedded
from airq.embedded import cluster
from airq.simulation import Simulation, write_csv
from tests.conftest import airq_environment
from tests.integration.embedded.processes import (
    answer,
    is_alive,
    is_held,
    query,
    runs_with,
    server_log,
    server_pid,
    user,
    wait_for_end,
)
from tests.integration.sessions import wait_until


def test_ctrl_c_stops_the_server_cleanly(place: Path, programs: Path) -> None:
    with user(place / "data", programs) as process:
        answer(process)
        assert is_alive(place / "data")
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does.
        process.communicate(timeout=30)
    assert not is_alive(place / "data")
    assert "database system is shut down" in server_log(place / "data")


def test_a_second_ctrl_c_ends_at_once(place: Path, programs: Path) -> None:
    with user(place / "data", programs) as process:
        answer(process)
        pid = server_pid(place / "data")
        os.kill(pid, signal.SIGSTOP)  # So that it can't answer the first one.
        try:
            os.killpg(process.pid, signal.SIGINT)
            wait_until(lambda: is_held(place / "data" / "start.lock"), process)  # It stops the server.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=1)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=20)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for_end(place / "data")
    assert "received immediate shutdown request" in server_log(place / "data")


def children(pid: int) -> dict[str, int]:
    """Return a server's processes by what they do."""
    if shutil.which("ps") is None:
        pytest.skip("ps is not installed")
    listed = subprocess.run(
        ["ps", "-A", "-o", "ppid=,pid=,args="], capture_output=True, text=True, check=True
    )
    lines = (line.split(maxsplit=2) for line in listed.stdout.splitlines())
    return {what: int(child) for parent, child, what in lines if int(parent) == pid}


def test_a_load_whose_session_is_killed_says_so_and_leaves_the_server_stopped(
    place: Path, programs: Path
) -> None:
    directory, file = place / "data", place / "long.csv"
    with file.open("wb") as stream:
        write_csv(Simulation(stations=40, days=80, interval=timedelta(minutes=10)), stream)
    with subprocess.Popen(
        [sys.executable, "-m", "airq", "load", "--data-directory", str(directory), str(file)],
        env=airq_environment(None),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def killed() -> bool:
            with suppress(OSError, IndexError):  # There is no server yet, or its file is not written.
                for what, pid in children(server_pid(directory)).items():
                    if "COPY" in what:
                        os.kill(pid, signal.SIGKILL)
                        return True
            return False

        try:
            wait_until(killed, process)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, "connection to the database was lost" in errors) == (1, True), errors
    assert "Traceback" not in errors
    assert not is_alive(directory)
    with embedded.running(directory, programs_root=programs) as server:
        assert server.started_here


def test_a_server_that_does_not_stop_is_ended_and_loses_nothing(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, seconds in (("READY_SECONDS", 0.5), ("FAST_SECONDS", 0.5), ("AT_ONCE_SECONDS", 3)):
        monkeypatch.setattr(cluster, limit, seconds)
    said: list[str] = []
    with embedded.running(place / "data", on_progress=said.append, programs_root=programs) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
        os.kill(server_pid(place / "data"), signal.SIGSTOP)
    assert not is_alive(place / "data")
    assert [sentence for sentence in said if "does not stop by itself" in sentence] == said[2:]
    with embedded.running(place / "data", programs_root=programs) as server:
        assert query(server.url, "SELECT value FROM kept") == 42


def test_a_server_that_hangs_in_its_stop_is_ended_for_the_next_airq(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = place / "data"
    with user(directory, programs) as killed:
        answer(killed)
        pid = server_pid(directory)
        [checkpointer] = [child for what, child in children(pid).items() if "checkpointer" in what]
        os.kill(checkpointer, signal.SIGSTOP)  # So that the server waits for it without end.
        killed.kill()
        killed.wait()
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: "stopping" in (directory / "cluster" / "postmaster.pid").read_text())
    monkeypatch.setattr(cluster, "FAST_SECONDS", 0.5)
    with embedded.running(directory, programs_root=programs) as server:
        assert server.started_here
        assert query(server.url, "SELECT 1") == 1


def test_a_failure_to_stop_is_told_and_hides_no_other(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, said = place / "data", list[str]()

    def fail() -> None:
        with embedded.running(directory, on_progress=said.append, programs_root=programs):
            os.kill(server_pid(directory), signal.SIGSTOP)
            for limit in ("READY_SECONDS", "FAST_SECONDS", "AT_ONCE_SECONDS"):
                monkeypatch.setattr(cluster, limit, 0.0)
            monkeypatch.setattr(cluster.Cluster, "_signal", lambda self, mode: True)
            raise ValueError("a load's own")

    with pytest.raises(ValueError, match="a load's own"):
        fail()
    assert said[-1] == f"PostgreSQL in {directory} could not be stopped: processes of it do not end"
    assert not is_held(directory / "start.lock")
    os.kill(server_pid(directory), signal.SIGKILL)
    wait_for_end(directory)


STATES = {
    # What exists from then on in the data directory → whether a database is there to be kept.
    "cluster.new": False,
    "cluster.new/PG_VERSION": False,
    "cluster": True,
    "socket": True,
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_first_start_that_is_broken_off_leaves_nothing_in_the_way(
    place: Path, programs: Path, how: signal.Signals, state: str
) -> None:
    directory = place / "data"
    with user(directory, programs) as process:
        wait_until((directory / state).exists, process)
        os.killpg(process.pid, how)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == -how, errors
    # A program that makes the database holds the lock until it ends, also when nobody waits for it.
    wait_until(lambda: not is_held(directory / "start.lock"))
    assert not runs_with(directory / "cluster.new")
    assert (directory / "cluster").exists() == STATES[state]
    if how == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        # A program that was being started just then can't be told to end, and writes on for a moment.
        assert state == "cluster.new" or not (directory / "cluster.new").exists()
        assert not (directory / "socket").exists()
        assert not is_alive(directory)
    with embedded.running(directory, programs_root=programs) as server:
        assert query(server.url, "SELECT current_database()") == "airq"
    assert not (directory / "cluster.new").exists()
    assert not is_alive(directory)
