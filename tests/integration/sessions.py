"""Other sessions of a database, and other airq processes on it, as the tests of loading need them."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from tests.conftest import Database, Finished, airq_environment

PATIENCE_SECONDS = 30.0
END_READERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE application_name = 'airq serve' AND datname = current_database()"
)
"""Ends the API's sessions, and sees them to their end, so that none of them answers anything any more."""


class Session:
    """A connection of its own that can wait for a lock while the test goes on."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection: asyncpg.Connection = self._await(asyncpg.connect(url))

    def _await(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def run(self, statement: str) -> list[Any]:
        """Run a statement to its end."""
        return list(self._await(self._connection.fetch(statement)))

    def start(self, statement: str) -> "Future[Any]":
        """Begin a statement that may wait for a lock."""
        return asyncio.run_coroutine_threadsafe(self._connection.execute(statement), self._loop)

    def close(self) -> None:
        """End the session; what it had open is rolled back."""
        self._await(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        # Not by a word to the server, for which a statement that waits would have to end first.
        self._connection.terminate()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def session(database: Database, *statements: str) -> Iterator[Session]:
    """Hold a session of the owner's, with what the statements lock, until the block's end."""
    holder = Session(database.owner)
    try:
        holder.run("BEGIN")
        for statement in statements:
            holder.run(statement)
        yield holder
    finally:
        holder.close()


@contextmanager
def started(database: Database, *arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """Run an airq command beside the test; whatever happens, it is gone at the block's end."""
    with subprocess.Popen(
        [sys.executable, "-m", "airq", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=airq_environment(database),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> Finished:
    """Wait until a command ends."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return Finished(process.returncode, out, err)


def wait_until(happened: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait for something that a process brings about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended before: {process.communicate()}")
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def is_at(watching: Session, statement: str, *, waiting: bool = False) -> bool:
    """Whether a load's session is at a statement that begins so, or waits for a lock in it."""
    watching.run("SELECT pg_stat_clear_snapshot()")
    return bool(
        watching.run(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name LIKE 'airq %' AND state = 'active' "
            f"AND ltrim(query, E' \\n') LIKE '{statement}%'"
            + (" AND wait_event_type = 'Lock'" if waiting else "")
        )
    )


def loading_sessions(database: Database) -> int:
    """Count the sessions that loads have open."""
    [(count,)] = database.fetch(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'airq %'"
    )
    return int(str(count))


STOP = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM}
