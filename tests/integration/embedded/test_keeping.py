"""A server that is to be kept running is started again, and only while it is."""

import os
import signal
import time
from pathlib import Path

import pytest

from airq import embedded
from airq.embedded import cluster
from tests.integration.embedded.processes import is_alive, query, server_pid, wait_for_end
from tests.integration.sessions import wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(cluster, "RETRY_SECONDS", 0.5)


def test_a_killed_server_is_started_again_with_its_data(place: Path, programs: Path) -> None:
    directory, said = place / "data", list[str]()
    with embedded.running(directory, on_progress=said.append, programs_root=programs, keep=True) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS value", "SELECT 1")
        for _ in range(2):
            killed = server_pid(directory)
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: said[-1].startswith("starting") and answers(server.url))
            assert server_pid(directory) != killed
            assert query(server.url, "SELECT value FROM kept") == 42
            said.append("that was one")
    assert said.count(f"PostgreSQL in {directory} has ended by itself") == 2
    assert not is_alive(directory)


def answers(url: str) -> bool:
    """Whether the server takes connections."""
    try:
        return bool(query(url, "SELECT true"))
    except Exception:  # However it refuses or breaks them off.
        return False


def test_a_server_that_can_not_be_started_again_is_tried_now_and_then(place: Path, programs: Path) -> None:
    directory, said = place / "data", list[str]()
    with embedded.running(directory, on_progress=said.append, programs_root=programs, keep=True) as server:
        settings = directory / "cluster" / "postgresql.conf"
        right = settings.read_text()
        settings.write_text("no_such_setting = 1\n")
        began = time.monotonic()
        os.kill(server_pid(directory), signal.SIGKILL)
        time.sleep(2)
        failures = [sentence for sentence in said if sentence.startswith("PostgreSQL was not started again")]
        assert 1 <= len(failures) <= 1 + (time.monotonic() - began) / cluster.RETRY_SECONDS
        assert "no_such_setting" in failures[0]
        settings.write_text(right)
        wait_until(lambda: answers(server.url))


def test_a_server_whose_data_are_gone_is_not_made_anew(place: Path, programs: Path) -> None:
    directory, said = place / "data", list[str]()
    with embedded.running(directory, on_progress=said.append, programs_root=programs, keep=True):
        os.kill(server_pid(directory), signal.SIGKILL)
        (directory / "cluster").rename(directory / "elsewhere")
        wait_until(lambda: "is gone, and with it the data" in said[-1])
    assert not (directory / "cluster").exists()


def test_a_server_is_not_started_again_once_nobody_wants_it(place: Path, programs: Path) -> None:
    directory, said = place / "data", list[str]()
    for _ in range(5):
        with embedded.running(directory, on_progress=said.append, programs_root=programs, keep=True):
            pass
        time.sleep(0.2)
        assert not is_alive(directory)
    assert not [sentence for sentence in said if "has ended by itself" in sentence]


def test_leaving_does_not_wait_for_a_server_that_starts(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, said = place / "data", list[str]()
    with embedded.running(directory, on_progress=said.append, programs_root=programs, keep=True):
        monkeypatch.setattr(cluster.Cluster, "_answers", lambda self: False)
        monkeypatch.setattr(cluster, "READY_SECONDS", 0.5)
        os.kill(server_pid(directory), signal.SIGKILL)
        wait_until(lambda: said[-1].startswith("starting") and len(said) > 3)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    wait_for_end(directory)
