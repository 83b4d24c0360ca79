"""What becomes of a command whose output can't be written: it ends as good tools do, and does its work."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Database, airq_environment
from tests.e2e.test_cli_load import OCTOBER, caching
from tests.integration.publishing import Publisher, row

READER_GONE = 141
"""As a shell says of whom SIGPIPE ended."""


@contextmanager
def nobody_reads() -> Iterator[int]:
    """Give a pipe whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def no_room() -> Iterator[int]:
    """Give a file on a full disk."""
    full = os.open("/dev/full", os.O_WRONLY)
    yield full
    os.close(full)


def airq(
    *arguments: str | Path,
    database: Database | None = None,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
    settings: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run airq with such files; return its status and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "airq", *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, timeout=60, check=False,
        env=airq_environment(database) | (settings or {}),
    )  # fmt: skip
    return done.returncode, (done.stderr or b"").decode()


LOST = [(nobody_reads, READER_GONE), (no_room, 1)]
PRINTED = [(), ("--json",)]


@pytest.mark.parametrize("form", PRINTED, ids=["text", "JSON"])
@pytest.mark.parametrize(("lost", "status"), LOST)
def test_what_a_load_or_an_undo_changed_is_dropped_from_the_caches_though_nothing_can_be_printed(
    publisher: Publisher, lost: Callable[[], AbstractContextManager[int]], status: int, form: tuple[str, ...]
) -> None:
    path = publisher.write(row(OCTOBER, "a", 1))
    commands: list[tuple[str | Path, ...]] = [("load", *form, path), ("loads", "undo", *form, "1")]
    for arguments in commands:
        with caching() as (dropped, settings), lost() as stdout:
            ended, said = airq(*arguments, database=publisher.database, stdout=stdout, settings=settings)
        assert ended == status, said
        assert "s:a/2016-10" in dropped
        assert "Traceback" not in said
    assert publisher.contents() == {}


def test_what_a_load_changed_is_dropped_from_the_caches_though_nobody_hears_of_it(
    publisher: Publisher,
) -> None:
    path = publisher.write(row(OCTOBER, "a", 1))
    with caching() as (dropped, settings), nobody_reads() as stderr:
        again = {**settings, "AIRQ_PURGE_AGAIN_SECONDS": "0.1"}
        status, _ = airq("load", path, database=publisher.database, stderr=stderr, settings=again)
    assert status == 0
    assert dropped.count("s:a/2016-10") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("loads",),
        ("loads", "--json"),
        ("verify",),
        ("settings",),
        ("simulate", "--stations", "1", "--days", "1"),
    ],
)
def test_a_command_whose_reader_has_seen_enough_ends_without_a_word(
    database: Database, arguments: tuple[str, ...]
) -> None:
    with nobody_reads() as stdout:
        assert airq(*arguments, database=database, stdout=stdout) == (READER_GONE, "")


def test_a_long_output_may_be_cut_by_its_reader() -> None:
    simulate = subprocess.Popen(
        [sys.executable, "-m", "airq", "simulate", "--days", "300"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=airq_environment(None),
    )  # fmt: skip
    with simulate:
        assert simulate.stdout is not None
        assert simulate.stderr is not None
        assert simulate.stdout.readline().startswith(b"TimeInstant")
        simulate.stdout.close()
        assert (simulate.wait(60), simulate.stderr.read()) == (READER_GONE, b"")


@pytest.mark.parametrize(
    "arguments",
    [("loads",), ("verify", "--json"), ("simulate", "--days", "1"), ("simulate", "-o", "/dev/full")],
)
def test_an_output_without_room_is_a_fault_that_is_told(
    database: Database, arguments: tuple[str, ...]
) -> None:
    with no_room() as stdout:
        assert airq(*arguments, database=database, stdout=stdout) == (
            1, "airq: error: the output can't be written: No space left on device\n"
        )  # fmt: skip


HEARD_AGAIN = """
import os
from airq.cli import presentation
room = os.dup(2)
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
presentation.note("while the disk was full")
os.dup2(room, 2)
presentation.note("since there is room")
"""


def test_what_is_said_once_there_is_room_again_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", HEARD_AGAIN], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "airq: since there is room\n")


def test_without_any_output_a_command_does_its_work(publisher: Publisher) -> None:
    path = publisher.write(row(OCTOBER, "a", 1))
    closed = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&- 2>&-', "sh", sys.executable, "-m", "airq", "load", path],
        env=airq_environment(publisher.database), timeout=60, check=False,
    )  # fmt: skip
    assert closed.returncode == 0
    assert len(publisher.contents()) == 1
