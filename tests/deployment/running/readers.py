"""Readers of the service: they ask again and again meanwhile, and note every answer that is not good."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from tests.containers import csv_files
from tests.containers.service import Answer

CACHED = "/air_quality?station=aq_one&from=2025-01-01&to=2025-02-01"
EXPORT = "/air_quality?format=csv"
_numbers = itertools.count(1)


def never_asked() -> str:
    """Return a request that nothing can have stored."""
    moment = csv_files.FIRST + timedelta(milliseconds=next(_numbers))
    return f"/air_quality?station=aq_one&limit=5&from={csv_files.as_served(moment)}"


def get(port: int, target: str, timeout_seconds: float = 30) -> Answer:
    """Ask on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        return ask(connection, target)
    finally:
        connection.close()


def answers(port: int, target: str) -> bool:
    """Tell whether a request is answered with 200; a connection that breaks is none."""
    try:
        return get(port, target).status == 200
    except (OSError, http.client.HTTPException):
        return False


def ask(connection: http.client.HTTPConnection, target: str) -> Answer:
    """Ask on a connection that may stay open."""
    connection.request("GET", target)
    response = connection.getresponse()
    body = response.read()
    return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, body)


def measurements(port: int) -> dict[csv_files.Key, dict[str, float | None]]:
    """Return all that the service serves, page by page, in the form of `csv_files.read`."""
    served: dict[csv_files.Key, dict[str, float | None]] = {}
    target: str | None = "/air_quality?limit=10000"
    while target:
        answer = get(port, target)
        assert answer.status == 200, answer
        page = json.loads(answer.body)
        for row in page["data"]:
            values = {name: row[name] for name in csv_files.POLLUTANTS}
            served[row["timestamp"], row["station"]] = values
        target = page["links"]["next"]
    return served


@dataclass
class Reader:
    """Asks in threads of its own.

    Args:
        target: gives what is asked next.
        port: of 127.0.0.1.
        pause_seconds: between an answer and the next question.
        keeps_connection: one connection for all questions, as far as the service keeps it open.
        is_good: judges an answer.
    """

    target: Callable[[], str]
    port: int
    pause_seconds: float
    keeps_connection: bool = False
    is_good: Callable[[Answer], bool] = lambda answer: answer.status == 200
    seen: list[tuple[float, bool]] = field(default_factory=list)
    """When each question was asked, and whether its answer was good."""
    failed: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until told to stop."""
        connection: http.client.HTTPConnection | None = None
        while not self.stop.is_set():
            began, target = time.monotonic(), self.target()
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                answer = ask(connection, target)
                wrong = "" if self.is_good(answer) else f"{answer.status} {answer.body[:300]!r}"
            except (OSError, http.client.HTTPException) as error:
                wrong = repr(error)
            self.seen.append((began, not wrong))
            took = time.monotonic() - began
            self.slowest_seconds = max(self.slowest_seconds, took)
            if wrong:
                self.failed.append(f"{time.strftime('%H:%M:%S')} after {took:.2f} s: {target}: {wrong}")
            if wrong or not self.keeps_connection:
                connection.close()
                connection = None
            self.stop.wait(max(self.pause_seconds, 0.05) if wrong else self.pause_seconds)
        if connection is not None:
            connection.close()

    def outage_seconds(self) -> float:
        """Return the seconds from the first bad answer to the first good one behind the last bad one."""
        bad = [moment for moment, good in self.seen if not good]
        if not bad:
            return 0.0
        behind = [moment for moment, good in self.seen if good and moment > bad[-1]]
        return (min(behind) if behind else float("inf")) - bad[0]


@dataclass
class Readers:
    """Readers of what is stored, of what is not, and of a whole export."""

    cached: Reader
    uncached: Reader
    exports: Reader

    def all(self) -> list[Reader]:
        """Return all three."""
        return [self.cached, self.uncached, self.exports]

    def failed(self) -> list[str]:
        """Return what was not good."""
        return [line for reader in self.all() for line in reader.failed]

    def summary(self) -> str:
        """Return figures for people."""
        parts = []
        for name, reader in (("cached", self.cached), ("uncached", self.uncached), ("exports", self.exports)):
            parts.append(
                f"{name}: {len(reader.seen)} requests, {len(reader.failed)} failed, "
                f"slowest {reader.slowest_seconds:.2f} s"
            )
        return "; ".join(parts)


@contextmanager
def reading(port: int, uncached: int = 2) -> Iterator[Readers]:
    """Read while the block runs: what is stored, on kept connections, what is not, and whole exports.

    Args:
        uncached: how many ask at the same time for what is not stored.
    """
    kept = get(port, CACHED).body
    export = sorted(get(port, EXPORT).body.splitlines())

    def is_same(answer: Answer) -> bool:
        return answer.status == 200 and answer.body == kept

    def is_whole(answer: Answer) -> bool:
        return answer.status == 200 and sorted(answer.body.splitlines()) == export

    readers = Readers(
        Reader(lambda: CACHED, port, 0.01, keeps_connection=True, is_good=is_same),
        Reader(never_asked, port, 0.03),
        Reader(lambda: EXPORT, port, 0.3, is_good=is_whole),
    )
    running = [*[readers.cached] * 2, *[readers.uncached] * uncached, readers.exports]
    threads = [threading.Thread(target=reader.run, daemon=True) for reader in running]
    for thread in threads:
        thread.start()
    try:
        yield readers
    finally:
        for reader in readers.all():
            reader.stop.set()
        for thread in threads:
            thread.join(60)
