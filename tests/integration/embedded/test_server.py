"""What the server is, and that its data are durable, kept and private."""

import os
import shutil
import time
from pathlib import Path

import pytest

from airq import embedded
from tests.integration.embedded.processes import (
    IS_ROOT,
    NOBODY,
    answer,
    is_alive,
    leave,
    query,
    refusal,
    user,
)


def test_the_url_reaches_a_durable_utf_8_database_that_is_on_no_network(place: Path, programs: Path) -> None:
    expected = {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "listen_addresses": "",
        "max_connections": "50",
    }
    with embedded.running(place / "data", programs_root=programs) as server:
        assert server.started_here
        assert is_alive(place / "data")
        assert (server.binaries / "pg_dump").exists()
        assert {name: query(server.url, f"SHOW {name}") for name in expected} == expected
        assert query(server.url, "SHOW server_version").startswith(embedded.MAJOR_VERSION)
        assert query(server.url, "SELECT current_database()") == "airq"
        assert query(server.url, "SELECT upper('ä') || lower('Ω')") == "Äω"
    assert not is_alive(place / "data")
    assert not (place / "data" / "cluster" / "postmaster.pid").exists()
    assert not (place / "data" / "socket").exists()


def test_data_are_kept_between_runs(place: Path, programs: Path) -> None:
    said: list[str] = []
    with embedded.running(place / "d", on_progress=said.append, programs_root=programs) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
    with embedded.running(place / "d", on_progress=said.append, programs_root=programs) as server:
        assert server.started_here
        assert query(server.url, "SELECT value FROM kept") == 42
    assert [sentence.split()[0] for sentence in said] == ["making", "starting", "starting"]


def test_a_log_that_somebody_deleted_is_begun_anew(place: Path, programs: Path) -> None:
    directory = place / "data"
    for _ in range(2):
        with embedded.running(directory, programs_root=programs) as server:
            assert query(server.url, "SELECT 1") == 1
        assert (directory / "log").stat().st_mode & 0o777 == 0o700
        assert [path for path in (directory / "log").glob("server-*.log") if path.stat().st_size]
        shutil.rmtree(directory / "log")


def test_weekdays_logs_of_an_earlier_week_are_removed(place: Path, programs: Path) -> None:
    logs = place / "data" / "log"
    with embedded.running(place / "data", programs_root=programs):
        pass
    days = {1: "server-yesterday.log", 5: "server-five-days-ago.log", 7: "server-a-week-ago.log"}
    for days_ago, name in days.items():
        (logs / name).touch()
        os.utime(logs / name, (time.time() - days_ago * 86400,) * 2)
    with embedded.running(place / "data", programs_root=programs):
        pass
    assert {name for name in days.values() if (logs / name).exists()} == {days[1], days[5]}


def test_nobody_else_can_read_the_data_or_reach_the_socket(place: Path, programs: Path) -> None:
    owner = NOBODY.pw_uid if IS_ROOT else os.geteuid()
    with embedded.running(place / "data", programs_root=programs):
        for name in ("cluster", "socket", "log"):
            status = (place / "data" / name).stat()
            assert (status.st_uid, status.st_mode & 0o777) == (owner, 0o700)


@pytest.mark.parametrize("name", ["long-" * 24, "with space, comma & 'ü$x'"])
def test_a_directory_may_have_any_name(place: Path, programs: Path, name: str) -> None:
    with embedded.running(place / name / "data", programs_root=programs) as server:
        socket = Path(query(server.url, "SHOW unix_socket_directories"))
        assert socket.stat().st_mode & 0o777 == 0o700
        assert socket.parent == Path("/tmp")
        with user(place / name / "data", programs) as other:
            assert answer(other)["url"] == server.url
            leave(other)
    assert not socket.exists()


def test_a_strangers_socket_directory_is_not_used(place: Path, programs: Path) -> None:
    directory = place / ("long-" * 24)
    with embedded.running(directory, programs_root=programs) as server:
        socket = Path(query(server.url, "SHOW unix_socket_directories"))
    (place / "strangers").mkdir()
    socket.symlink_to(place / "strangers")
    try:
        assert socket.name in refusal(directory, programs)
    finally:
        socket.unlink()
    assert not list((place / "strangers").iterdir())
