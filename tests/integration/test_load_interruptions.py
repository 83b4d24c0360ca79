"""A load that is killed, stopped or cut off: nothing of it is visible, and it can be repeated."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.integration.publishing import Publisher, row, values
from tests.integration.sessions import (
    STOP,
    ended,
    is_at,
    loading_sessions,
    session,
    started,
    wait_until,
)

OCTOBER = "2016-10-01 00:00:00"
"""A month that is known before; November is not."""

ROWS = (
    row(OCTOBER, "a", 2),
    row("2016-10-02 00:00:00", "a", 2),
    row("2016-11-01 00:00:00", "a", 2),
    row("2016-11-01 00:00:00", "b", "?"),
)


@pytest.fixture
def publisher(database: Database, tmp_path: Path) -> Publisher:
    made = Publisher(database, tmp_path)
    made.load(row(OCTOBER, "a", 1), row(OCTOBER, "c", 1))
    return made


BEFORE = {("2016-10-01T00:00:00.000Z", "a"): values(1.0), ("2016-10-01T00:00:00.000Z", "c"): values(1.0)}
AFTER = BEFORE | {
    ("2016-10-01T00:00:00.000Z", "a"): values(2.0),
    ("2016-10-02T00:00:00.000Z", "a"): values(2.0),
    ("2016-11-01T00:00:00.000Z", "a"): values(2.0),
}


@dataclass(frozen=True)
class Moment:
    """A moment of a load at which another session can hold it.

    Args:
        lock: what the other session does.
        statement: in which the load then waits, as it begins.
        gate: an earlier moment at which the load is held until the lock is taken; None for a lock
            that can be taken before the load begins.
    """

    lock: str
    statement: str
    gate: str | None = None


MOMENTS = {
    "before its turn": Moment("SELECT pg_advisory_lock(x'6c6f6164'::int)", "SELECT pg_advisory_lock"),
    "at the first station": Moment("LOCK TABLE airq.station IN SHARE MODE", "INSERT INTO airq.station"),
    "attaching a month": Moment(
        "LOCK TABLE airq.measurement IN SHARE UPDATE EXCLUSIVE MODE", "SELECT airq.add_partition"
    ),
    "merging": Moment("UPDATE airq.measurement SET so2 = so2", "WITH merged"),
    "entering what it touched": Moment("LOCK TABLE airq.coverage IN SHARE MODE", "WITH next"),
    # The entry that is locked is made by the load itself.
    "ready to commit": Moment(
        "SELECT * FROM airq.load WHERE id = 2 FOR NO KEY UPDATE", "UPDATE airq.load", gate="merging"
    ),
}


@contextmanager
def held_at(publisher: Publisher, name: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a load up to a moment, and hold it there until the block's end."""
    moment, path = MOMENTS[name], publisher.write(*ROWS)
    gate = MOMENTS[moment.gate] if moment.gate else None
    with (
        session(publisher.database) as watching,
        session(publisher.database, (gate or moment).lock) as first,
        session(publisher.database) as second,
        started(publisher.database, "load", path, "--max-rejects", "1") as process,
    ):
        if gate:
            wait_until(lambda: is_at(watching, gate.statement, waiting=True), process)
            second.run(moment.lock)
            first.run("ROLLBACK")
        wait_until(lambda: is_at(watching, moment.statement, waiting=True), process)
        yield process


def assert_nothing_is_left_of_it(publisher: Publisher, outcome: str, reason: str) -> None:
    wait_until(lambda: loading_sessions(publisher.database) == 0)
    entry = publisher.ledger(2)
    assert (entry.outcome, entry.reason) == (outcome, reason)
    assert entry.finished is not None
    assert (entry.inserted, entry.changed) == (0, 0)
    assert publisher.contents() == BEFORE


def assert_it_can_be_repeated(publisher: Publisher, make_database: Callable[[], Database]) -> None:
    for _ in ("again", "and once more"):
        entry = publisher.load(*ROWS[:3])
        assert publisher.contents() == AFTER
    assert entry.outcome == "unchanged"
    untroubled = Publisher(make_database(), publisher.directory)
    untroubled.load(row(OCTOBER, "a", 1), row(OCTOBER, "c", 1))
    untroubled.load(*ROWS[:3])
    assert untroubled.content() == publisher.content()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_load_killed_at_any_moment_leaves_nothing_and_can_be_repeated(
    publisher: Publisher, make_database: Callable[[], Database], moment: str
) -> None:
    with held_at(publisher, moment) as process:
        process.kill()
        assert process.wait() == -signal.SIGKILL
        # Its server process still waits for the lock; to readers nothing of it is there.
        assert publisher.database.fetch("SELECT count(*) FROM airq.measurement") == [(2,)]
    assert_nothing_is_left_of_it(
        publisher, "interrupted", "its process ended before it was through; nothing of it is visible"
    )
    assert_it_can_be_repeated(publisher, make_database)


def test_a_load_killed_behind_its_commit_is_whole(publisher: Publisher) -> None:
    with (
        session(publisher.database) as watch,
        session(publisher.database) as blocker,
        held_at(publisher, "ready to commit") as process,
    ):
        # Granted when the load has committed; until then the load itself stands before it.
        waiting = blocker.start("LOCK TABLE airq.load IN ACCESS EXCLUSIVE MODE")
        wait_until(lambda: watch.run("SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' "
                                     "AND NOT granted AND relation = 'airq.load'::regclass"))  # fmt: skip
        publisher.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction' "
            "AND query LIKE 'SELECT * FROM airq.load WHERE id = 2 FOR NO KEY UPDATE'"
        )
        waiting.result(30)
        wait_until(lambda: is_at(watch, "%SELECT%FROM airq.load WHERE id", waiting=True), process)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert publisher.ledger(2).outcome == "loaded"
    assert publisher.contents() == AFTER


@pytest.mark.parametrize("name", STOP)
@pytest.mark.parametrize(
    "moment", ["before its turn", "attaching a month", "merging", "entering what it touched"]
)
def test_a_load_that_is_stopped_says_so_and_leaves_nothing(
    publisher: Publisher, make_database: Callable[[], Database], moment: str, name: str
) -> None:
    with held_at(publisher, moment) as process:
        process.send_signal(STOP[name])
        done = ended(process)
    assert done.status == 128 + STOP[name]
    assert done.out == ""
    file = str(process.args[4])  # type: ignore[index]
    waits = f"airq: {file}: another load is running; waiting for it to end"
    expected = [waits] * (moment == "before its turn") + ["", "airq: stopped"] * (name == "Ctrl-C")
    assert done.err.splitlines() == expected
    assert_nothing_is_left_of_it(publisher, "interrupted", "stopped by the user; nothing of it is visible")
    assert_it_can_be_repeated(publisher, make_database)


@pytest.mark.parametrize("moment", ["before its turn", "merging", "entering what it touched"])
def test_a_load_whose_session_the_server_ends_fails_with_the_reason(
    publisher: Publisher, make_database: Callable[[], Database], moment: str
) -> None:
    with held_at(publisher, moment) as process:
        publisher.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'airq load' AND state = 'active'"
        )
        done = ended(process)
    assert done.status == 1
    assert done.out == ""
    reason = (
        "the connection to the database was lost (connection was closed in the middle of operation: "
        "terminating connection due to administrator command); run it again, nothing enters twice"
    )
    assert done.err.splitlines()[-1] == f"airq: error: {reason}"
    assert "Traceback" not in done.err
    assert_nothing_is_left_of_it(publisher, "failed", reason)
    assert_it_can_be_repeated(publisher, make_database)


def test_a_load_that_loses_all_its_sessions_is_entered_as_interrupted(
    publisher: Publisher, make_database: Callable[[], Database]
) -> None:
    with held_at(publisher, "merging") as process:
        publisher.database.execute(
            # The one that is idle first, or it could still be told how the other ended.
            "SELECT pg_terminate_backend(pid, 10000) FROM (SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'airq load' "
            "ORDER BY state = 'active') AS sessions"
        )
        done = ended(process)
    assert done.status == 1
    assert "Traceback" not in done.err
    assert_nothing_is_left_of_it(
        publisher, "interrupted", "its process ended before it was through; nothing of it is visible"
    )
    assert_it_can_be_repeated(publisher, make_database)


@pytest.fixture(scope="module")
def large_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240,000 rows of three months."""
    path = tmp_path_factory.mktemp("large") / "large.csv"
    subprocess.run(
        [sys.executable, "-m", "airq", "simulate", "--stations", "40", "--days", "62.5", "--start",
         "2025-01-15", "--interval", "15m", "-o", path],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("known", [False, True], ids=["new months", "known months"])
def test_a_large_load_killed_while_the_database_is_at_work_leaves_nothing(
    database: Database, tmp_path: Path, large_csv: Path, known: bool
) -> None:
    publisher = Publisher(database, tmp_path)
    first = [row(f"2025-0{month}-20 00:00:00", "aq_albi", 1) for month in (1, 2, 3)]
    if known:
        publisher.load(*first)
    before = publisher.contents()
    # Not the COPY of rejected rows, which is sent beside the transaction.
    moments = ['COPY "staged"', "WITH merged"] if known else ['COPY "airq"."measurement_']
    with session(database) as watching:
        for moment in moments:
            with started(database, "load", large_csv) as process:
                wait_until(lambda: is_at(watching, moment), process)  # noqa: B023 it ends in its turn
                process.kill()
                assert process.wait() == -signal.SIGKILL
            wait_until(lambda: loading_sessions(database) == 0)
            assert publisher.newest().outcome == "interrupted", moment
            assert publisher.contents() == before, moment
    entry = publisher.load(path=large_csv)
    assert entry.rows_read == entry.inserted + entry.changed + entry.unchanged == 240_000
    publisher.contents()
