"""One server for all processes that name its directory, however they end."""

import os
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

from airq import embedded
from tests.integration.embedded.processes import (
    IS_ROOT,
    answer,
    is_alive,
    leave,
    query,
    server_pid,
    user,
    wait_for_end,
)


def test_processes_share_one_server_and_the_last_one_stops_it(place: Path, programs: Path) -> None:
    with user(place / "data", programs) as first, ExitStack() as later:
        found = answer(first)
        assert found["started_here"]
        server = later.enter_context(embedded.running(place / "data", programs_root=programs))
        assert (server.started_here, server.url) == (False, found["url"])
        os.killpg(first.pid, signal.SIGINT)  # As a terminal does.
        first.communicate(timeout=30)
        assert query(server.url, "SELECT 1") == 1
        later.close()
        assert not is_alive(place / "data")


def test_simultaneous_first_starts_make_one_database(place: Path, programs: Path) -> None:
    with user(place / "data", programs) as one, user(place / "data", programs) as other:
        found = [answer(one), answer(other)]
        assert sorted(each["started_here"] for each in found) == [False, True]
        query(found[0]["url"], "CREATE TABLE shared AS SELECT 7 AS value", "SELECT 1")
        assert query(found[1]["url"], "SELECT value FROM shared") == 7
        leave(one)
        leave(other)
    assert not is_alive(place / "data")


def test_a_server_whose_users_were_killed_is_taken_over_and_stopped(place: Path, programs: Path) -> None:
    with user(place / "data", programs) as killed:
        answer(killed)
        killed.kill()
        killed.wait()
    assert is_alive(place / "data")
    with embedded.running(place / "data", programs_root=programs) as server:
        assert not server.started_here
        assert query(server.url, "SELECT 1") == 1
    assert not is_alive(place / "data")


def test_a_pid_file_left_by_a_crash_stops_no_start_even_if_the_pid_is_taken(
    place: Path, programs: Path
) -> None:
    directory = place / "data"
    with user(directory, programs) as killed:
        url = answer(killed)["url"]
        query(url, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
        pid = server_pid(directory)
        killed.kill()
        os.kill(pid, signal.SIGKILL)
        wait_for_end(directory)
    account = embedded.ROOTS_ACCOUNT if IS_ROOT else None
    with subprocess.Popen(["/bin/sleep", "60"], user=account) as somebody_else:
        try:
            for left in ("cluster/postmaster.pid", "socket/.s.PGSQL.5432.lock"):
                first_line, rest = (directory / left).read_text().split("\n", 1)
                assert first_line == str(pid)
                (directory / left).write_text(f"{somebody_else.pid}\n{rest}")
            with embedded.running(directory, programs_root=programs) as server:
                assert server.started_here
                assert query(server.url, "SELECT value FROM kept") == 42
            assert somebody_else.poll() is None
        finally:
            somebody_else.kill()
