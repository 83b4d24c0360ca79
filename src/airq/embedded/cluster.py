"""The PostgreSQL below one data directory: made, started, shared and stopped."""

import hashlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airq.domain.errors import AirqError, ConfigurationError
from airq.embedded.account import Account
from airq.embedded.locks import POLL_SECONDS, lock_alone, lock_together, opened, wait_alone, wait_together

MAJOR_VERSION = "18"
START_SECONDS = 300.0  # Recovery after a crash replays up to max_wal_size before it answers.
CHECK_SECONDS = 1.0  # After that, a server that ended is noticed by whoever keeps it running,
RETRY_SECONDS = 10.0  # and after that, one that was started for it is looked at again.
LOG_SECONDS = 6 * 86400  # A weekday's log, which the server begins anew only if it runs by then.
SOCKET_PATH_BYTES = 103  # The most that macOS accepts; Linux accepts 107.
READY_SECONDS = 15.0  # For a server that recovers from the end of one of its processes.
FAST_SECONDS = 60.0  # A server that stops writes up to shared_buffers first.
AT_ONCE_SECONDS = 10.0  # After 5 s, a server kills those of its own processes that don't end.

SETTINGS = """
    shared_buffers=256MB max_connections=50 max_wal_size=2GB random_page_cost=1.1
    timezone=UTC log_timezone=UTC log_checkpoints=off logging_collector=on log_directory=../log
    log_filename=server-%a.log log_rotation_age=1d log_rotation_size=0 log_truncate_on_rotation=on
"""
"""Written once into a new database's postgresql.conf, which from then on is its user's to edit. The
log has a file for each weekday, begun anew each week, so that it can't fill the disk over years."""


class EmbeddedServerError(AirqError):
    """The embedded PostgreSQL could not be made or started; the message quotes its log."""


class Cluster:
    """The PostgreSQL below one data directory; `join` and `kept` take `start.lock`, the others need it."""

    def __init__(
        self, home: Path, account: Account, binaries: Path, on_progress: Callable[[str], None]
    ) -> None:
        self.home, self.data, self.socket = home, home / "cluster", home / "socket"
        self.account, self.binaries, self.on_progress = account, binaries, on_progress
        # A socket's path is short and plain: libpq and PostgreSQL split it at commas, for example.
        path = os.fsencode(self.socket / ".s.PGSQL.5432")
        if len(path) > SOCKET_PATH_BYTES or re.fullmatch(rb"[A-Za-z0-9_./+-]+", path) is None:
            self.socket = Path("/tmp", f"airq-{hashlib.sha256(path).hexdigest()[:16]}")  # noqa: S108

    def join(self, stack: ExitStack) -> bool:
        """Use the server until `stack` is left; return whether it was started here."""
        users = stack.enter_context(opened(self.home / "users.lock"))
        with self._exclusively() as mutex:
            wait_together(users)
            stack.callback(self._leave, users)
            return self._start_or_share(mutex)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Start the server again, while the block runs, whenever it has ended."""
        left = threading.Event()
        thread = threading.Thread(target=self._keep, args=(left,), name="keep PostgreSQL", daemon=True)
        thread.start()
        try:
            yield
        finally:
            left.set()
            thread.join()

    def _keep(self, left: threading.Event) -> None:
        pause = CHECK_SECONDS
        while not left.wait(pause):
            pause = CHECK_SECONDS
            try:
                if self._is_alive():
                    continue
                with opened(self.home / "start.lock") as mutex:
                    # Whoever else has the lock is about to start it, and is not waited for.
                    if not lock_alone(mutex) or self._is_alive():
                        continue
                    self.on_progress(f"PostgreSQL in {self.home} has ended by itself")
                    if not self.data.exists():
                        raise EmbeddedServerError(f"{self.data} is gone, and with it the data")
                    self._start_or_share(mutex, left)
            except (AirqError, OSError, subprocess.SubprocessError) as error:
                self.on_progress(f"PostgreSQL was not started again: {error}")
            pause = RETRY_SECONDS

    def _leave(self, users: int) -> None:
        """Stop the server unless others use it; a failure is told, and hides none of the command's."""
        try:
            with self._exclusively():
                if lock_alone(users):
                    self._stop()
                    shutil.rmtree(self.socket, ignore_errors=True)
        except AirqError as error:
            self.on_progress(str(error))
        except (OSError, subprocess.SubprocessError) as error:
            self.on_progress(f"PostgreSQL in {self.home} could not be stopped: {error}")

    @contextmanager
    def _exclusively(self) -> Iterator[int]:
        with opened(self.home / "start.lock") as lock:
            if not lock_alone(lock):
                self.on_progress(f"waiting for another airq to start or stop {self.home}")
                wait_alone(lock)
            yield lock

    def _start_or_share(self, mutex: int, left: threading.Event | None = None) -> bool:
        """Return, once the server answers or nobody wants it any more, whether it was started here."""
        started_here = False
        deadline = time.monotonic() + START_SECONDS
        while not (alive := self._is_alive()) or not self._answers():
            if left is not None and left.is_set():
                break
            if (started_here and not alive) or time.monotonic() > deadline:
                raise EmbeddedServerError(f"PostgreSQL failed in {self.home}:\n{self._log_tail()}")
            if not alive:
                self._launch(mutex)
                started_here = True
            elif self._is_stopping():
                # Whoever told it to stop may have been killed before it did.
                self._stop()
            time.sleep(POLL_SECONDS)
        return started_here

    def _stop(self) -> None:
        """Stop the server, at last as a crash would: nothing is lost, but the next start recovers.

        Raises:
            EmbeddedServerError: there are processes of it that do not end.
        """
        try:
            if self._can_be_told() and self._ends("fast", FAST_SECONDS):
                return
            self.on_progress(
                f"PostgreSQL in {self.home} does not stop by itself; it is ended at once, which loses"
                " nothing, and recovers with the next start"
            )
            if not any(self._ends(mode, AT_ONCE_SECONDS) for mode in ("immediate", "kill")):
                raise EmbeddedServerError(
                    f"PostgreSQL in {self.home} could not be stopped: processes of it do not end"
                )
        except (KeyboardInterrupt, SystemExit):
            # Who does not wait for it leaves nothing running all the same.
            self._signal("immediate")
            raise

    def _can_be_told(self) -> bool:
        """Wait until the server heeds a fast shutdown; return whether it does.

        While it recovers from the end of one of its processes, which may just have failed the load
        that leaves now, PostgreSQL 18 stops the recovery and then waits for itself for ever.
        """
        deadline = time.monotonic() + READY_SECONDS
        while self._is_alive() and not self._is_stopping() and not self._answers():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _ends(self, mode: str, seconds: float) -> bool:
        """Tell the server to end; return whether it does in time."""
        deadline = time.monotonic() + seconds
        signaled = False
        while self._is_alive():
            if time.monotonic() > deadline:
                return False
            # A server that was launched just now can't be told before it wrote its pid.
            signaled = signaled or self._signal(mode)
            time.sleep(POLL_SECONDS)
        return True

    def _signal(self, mode: str) -> bool:
        # By the server's account: if root trusted the pid in a file of that account's, the
        # account could make it signal any process.
        pg_ctl = self.binaries / "pg_ctl"
        if mode == "kill":
            pid = self._pid_file()[0].decode()
            return pid.isdecimal() and self.account.run(pg_ctl, "kill", "KILL", pid)[0] == 0
        return self.account.run(pg_ctl, "stop", "-D", self.data, "-m", mode, "-W")[0] == 0

    def _answers(self) -> bool:
        ready = (self.binaries / "pg_isready", "-h", self.socket, "-p", "5432", "-U", "postgres")
        return self.account.run(*ready, "-d", "airq")[0] == 0

    def _is_stopping(self) -> bool:
        return self._pid_file()[7:8] == [b"stopping"]

    def _pid_file(self) -> list[bytes]:
        try:
            return (self.data / "postmaster.pid").read_bytes().split(b"\n")
        except FileNotFoundError:
            return [b""]

    def _is_alive(self) -> bool:
        with opened(self.home / "server.lock") as lock:
            if lock_together(lock):
                return False
            # Process ids mean something on one machine only, and locks reach further.
            if os.read(lock, 1000).decode() not in ("", os.uname().nodename):
                raise ConfigurationError(
                    f"The data directory {self.home} is in use by an airq in another container or"
                    " on another machine; stop that one, name another directory, or give both one"
                    " server with AIRQ_DATABASE_URL."
                )
            return True

    def _launch(self, mutex: int) -> None:
        if not self.data.exists():
            self._make(mutex)
        if (version := (self.data / "PG_VERSION").read_text().strip()) != MAJOR_VERSION:
            raise ConfigurationError(
                f"The database in {self.home} was made by PostgreSQL {version}, which PostgreSQL"
                f" {MAJOR_VERSION} can't read; name another directory and load the data again."
            )
        # The pid in the file of a dead server may be somebody else's by now, and stop PostgreSQL
        # from starting. A file with another socket is of a server that airq did not start.
        if self._pid_file()[4:5] in ([], [os.fsencode(self.socket)]):
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        logs = self.home / "log"
        if not logs.exists():  # Somebody who tidies up may delete it whole.
            self.account.make_private(logs)
        for log in logs.glob("server-*.log"):
            if log.lstat().st_mtime < time.time() - LOG_SECONDS:
                log.unlink()
        # Made anew, never taken over: in /tmp a stranger could have made it.
        shutil.rmtree(self.socket, ignore_errors=True)
        self.account.make_private(self.socket)
        self.on_progress(f"starting PostgreSQL in {self.home}")
        with opened(self.home / "server.lock") as lock:
            wait_alone(lock)
            os.ftruncate(lock, 0)
            os.write(lock, os.uname().nodename.encode())
            # The shell leaves at once, so that the server is nobody's child: a process that
            # leaves while others still use the server leaves no zombie and waits for nothing.
            shell = ("/bin/sh", "-c", '"$@" >"$0" 2>&1 &', logs / "start.log")
            # No TCP: who may enter the socket's directory can connect, and nobody else.
            options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.socket}")
            postgres = (self.binaries / "postgres", "-D", self.data, "-p", "5432")
            self.account.run(*shell, *postgres, *options, inherited=(lock,))

    def _make(self, mutex: int) -> None:
        self.on_progress(f"making a new database in {self.home}")
        new = self.home / "cluster.new"
        # Everybody may connect as the superuser because nobody else can: the socket is the only
        # way in, and its directory is closed to other users.
        initdb: list[str | Path] = [self.binaries / "initdb", "-D", new, "--username=postgres"]
        initdb += ["--auth-local=trust", "--auth-host=reject", "--data-checksums"]
        initdb += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb += ["--locale=C", *(f"--set={setting}" for setting in SETTINGS.split())]
        single = [self.binaries / "postgres", "--single", "-D", new, "-c", "exit_on_error=on"]
        single += ["-c", "logging_collector=off", "postgres"]
        try:
            for directory in (new, self.home / "log"):
                shutil.rmtree(directory, ignore_errors=True)
                self.account.make_private(directory)
            for command, text in ((initdb, ""), (single, "CREATE DATABASE airq;\n")):
                # With the lock, for the next airq to wait for this program even if we are killed.
                status, output = self.account.run(*command, text=text, inherited=(mutex,))
                if status != 0:
                    end = "\n".join(output.splitlines()[-6:])
                    raise EmbeddedServerError(f"PostgreSQL failed in {self.home}:\n{end}")
            new.rename(self.data)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def _log_tail(self) -> str:
        logs = sorted((self.home / "log").glob("*.log"))
        newest = max(logs, key=lambda path: path.lstat().st_mtime_ns, default=None)
        if newest is None:
            return f"(there is no log in {self.home / 'log'})"
        # The log belongs to the server's account, which must not lead root to another file.
        with os.fdopen(os.open(newest, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 1500))
            return f"{file.read().decode(errors='replace').strip()}\n(the end of {newest})"
