"""An undo that is killed, stopped or cut off: the load stays as it was, and can be undone later."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from airq.store.ledger import LoadFailed
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

OCTOBER, NOVEMBER = "2016-10-01 00:00:00", "2016-11-01 00:00:00"
BEFORE = {("2016-10-01T00:00:00.000Z", "a"): values(1.0)}
LOADED = {
    ("2016-10-01T00:00:00.000Z", "a"): values(2.0),
    ("2016-11-01T00:00:00.000Z", "a"): values(2.0),
}

MOMENTS = {
    # What another session does → the statement in which the undo then waits.
    "before its turn": ("SELECT pg_advisory_lock(x'6c6f6164'::int)", "SELECT pg_advisory_lock"),
    "bringing values back": (
        "UPDATE airq.measurement SET so2 = so2 WHERE time < '2016-11-01'", "WITH back"
    ),
    "taking new rows away": (
        "UPDATE airq.measurement SET so2 = so2 WHERE time >= '2016-11-01'", "WITH gone"
    ),
    "entering what it touched": ("LOCK TABLE airq.coverage IN SHARE MODE", "WITH next"),
}  # fmt: skip


@pytest.fixture
def publisher(publisher: Publisher) -> Publisher:
    """Who made a load that brought a row and replaced another one: load 2."""
    publisher.load(row(OCTOBER, "a", 1))
    publisher.load(row(OCTOBER, "a", 2), row(NOVEMBER, "a", 2))
    return publisher


@contextmanager
def held_at(publisher: Publisher, moment: str) -> Iterator["subprocess.Popen[str]"]:
    """Undo load 2 up to a moment, and hold the undo there until the block's end."""
    lock, statement = MOMENTS[moment]
    with (
        session(publisher.database) as watching,
        session(publisher.database, lock),
        started(publisher.database, "loads", "undo", "2") as process,
    ):
        wait_until(lambda: is_at(watching, statement, waiting=True), process)
        yield process


def assert_nothing_was_undone(publisher: Publisher, outcome: str, reason: str) -> None:
    wait_until(lambda: loading_sessions(publisher.database) == 0)
    entry = publisher.ledger(3)
    assert (entry.kind, entry.outcome, entry.reason, entry.changed) == ("undo", outcome, reason, 0)
    assert entry.finished is not None
    assert publisher.ledger(2).undone_by is None
    assert publisher.contents() == LOADED


def assert_it_can_be_repeated(publisher: Publisher) -> None:
    entry = publisher.undo(2)
    assert (entry.outcome, entry.changed) == ("loaded", 2)
    assert publisher.ledger(2).undone_by == entry.id
    assert publisher.contents() == BEFORE


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_undo_killed_at_any_moment_undoes_nothing_and_can_be_repeated(
    publisher: Publisher, moment: str
) -> None:
    with held_at(publisher, moment) as process:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert_nothing_was_undone(
        publisher, "interrupted", "its process ended before it was through; nothing was undone"
    )
    assert_it_can_be_repeated(publisher)


@pytest.mark.parametrize("name", STOP)
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_undo_that_is_stopped_says_so_and_undoes_nothing(
    publisher: Publisher, moment: str, name: str
) -> None:
    with held_at(publisher, moment) as process:
        process.send_signal(STOP[name])
        done = ended(process)
    assert (done.status, done.out) == (128 + STOP[name], "")
    waits = "airq: load 2: another load is running; waiting for it to end"
    expected = [waits] * (moment == "before its turn") + ["", "airq: stopped"] * (name == "Ctrl-C")
    assert done.err.splitlines() == expected
    assert_nothing_was_undone(publisher, "interrupted", "stopped by the user; nothing was undone")
    assert_it_can_be_repeated(publisher)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_undo_whose_session_the_server_ends_fails_with_the_reason(
    publisher: Publisher, moment: str
) -> None:
    with held_at(publisher, moment) as process:
        publisher.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'airq undo' AND state = 'active'"
        )
        done = ended(process)
    reason = (
        "the connection to the database was lost (connection was closed in the middle of operation: "
        "terminating connection due to administrator command); run it again, nothing is undone twice"
    )
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[-1] == f"airq: error: {reason}"
    assert "Traceback" not in done.err
    assert_nothing_was_undone(publisher, "failed", reason)
    assert_it_can_be_repeated(publisher)


def test_an_undo_that_loses_all_its_sessions_is_entered_as_interrupted(publisher: Publisher) -> None:
    with held_at(publisher, "taking new rows away") as process:
        publisher.database.execute(
            # The one that is idle first, or it could still be told how the other ended.
            "SELECT pg_terminate_backend(pid, 10000) FROM (SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'airq undo' "
            "ORDER BY state = 'active') AS sessions"
        )
        done = ended(process)
    assert done.status == 1
    assert "Traceback" not in done.err
    assert_nothing_was_undone(
        publisher, "interrupted", "its process ended before it was through; nothing was undone"
    )
    assert_it_can_be_repeated(publisher)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("disk_full", "the database has no room for this undo (could not extend it); nothing was undone"),
        ("raise_exception", "the database refused this undo: could not extend it; nothing was undone"),
    ],
)
def test_an_undo_that_the_database_can_not_take_says_why_and_undoes_nothing(
    publisher: Publisher, code: str, reason: str
) -> None:
    publisher.database.execute(
        "CREATE FUNCTION airq.fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'could not extend it' USING ERRCODE = '{code}'; END $$",
        "CREATE TRIGGER fails BEFORE INSERT ON airq.load_month EXECUTE FUNCTION airq.fail()",
    )
    with pytest.raises(LoadFailed) as caught:
        publisher.undo(2)
    assert str(caught.value) == reason
    assert_nothing_was_undone(publisher, "failed", reason)
    publisher.database.execute("DROP TRIGGER fails ON airq.load_month")
    assert_it_can_be_repeated(publisher)
