"""How the server stops, and what a start that is broken off leaves."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from airq import embedded
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
        assert process.returncode == -how
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
