"""A Docker engine for the tests: the one that answers, or one started for them alone."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.containers.lookalikes import debian

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airq"
"""Look-alikes and plugins are kept here between runs."""

DATA = Path("/var/tmp/airq-docker")
"""An engine started here keeps its images in this directory, so that a second run builds little."""

START_SECONDS = 60.0
PLUGINS = {"compose": "docker-compose", "buildx": "docker-buildx"}
"""Plugin → the Debian package that holds it."""


class NoEngine(Exception):
    """No Docker engine answers, and none can be started; the message says what to do."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Engine:
    """Runs `docker` against one engine.

    Args:
        is_own: the engine was started for the tests alone; another one holds the user's own images.
    """

    environment: Mapping[str, str]
    is_own: bool

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout_seconds: float = 900,
    ) -> Finished:
        """Run any command with this engine's environment; a failure is the caller's to judge."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**self.environment, **(environment or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def docker(self, *arguments: str | Path, check: bool = True, timeout_seconds: float = 900) -> str:
        """Run `docker` and return what it printed.

        Raises:
            AssertionError: it failed, unless `check` is off.
        """
        done = self.run("docker", *arguments, timeout_seconds=timeout_seconds)
        if check:
            said = f"{done.status}:\n{(done.out + done.err)[-4000:]}"
            assert done.status == 0, f"docker {' '.join(map(str, arguments))} ended with {said}"
        return done.out


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Give the engine that answers, or one that runs for as long as this does.

    Raises:
        NoEngine: neither is possible.
    """
    # What the caller's own .env, Compose project or `make` says is not meant for the projects made here.
    foreign = ("AIRQ_", "COMPOSE_", "POSTGRES_", "MAKE", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    if shutil.which("docker") is None:
        raise NoEngine("the docker command is not installed (Debian: apt-get install docker.io iptables)")
    if _answers(environment):
        yield Engine(_with_plugins(environment), is_own=False)
        return
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        raise NoEngine("no Docker engine answers; start one, or run this as root where dockerd is installed")
    DATA.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="airq-docker-") as directory:
        runtime = Path(directory)
        environment["DOCKER_HOST"] = f"unix://{runtime / 'docker.sock'}"
        command = ["dockerd", "--host", environment["DOCKER_HOST"], "--data-root", str(DATA)]
        command += ["--exec-root", str(runtime / "exec"), "--pidfile", str(runtime / "docker.pid")]
        with (runtime / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as daemon:
            try:
                _wait(environment, daemon, runtime / "log")
                yield Engine(_with_plugins(environment), is_own=True)
            finally:
                daemon.terminate()
                daemon.wait(60)


def _wait(environment: Mapping[str, str], daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(environment):
        if daemon.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-1500:]
            raise NoEngine(f"dockerd did not start:\n{said}")
        time.sleep(0.2)


def _answers(environment: Mapping[str, str]) -> bool:
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


def _with_plugins(environment: Mapping[str, str]) -> dict[str, str]:
    """Add the plugins that are missing, unpacked from Debian's packages into a place of our own."""

    def works(plugin: str) -> bool:
        command = ["docker", plugin, "version"]
        return not subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    missing = [package for plugin, package in PLUGINS.items() if not works(plugin)]
    if not missing:
        return dict(environment)
    configuration = CACHE / "docker-plugins"
    plugins = configuration / "cli-plugins"
    if not all((plugins / package).exists() for package in missing):
        plugins.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="airq-") as directory:
            try:
                debian.unpack("trixie", missing, Path(directory))
            except debian.CantMake as error:
                raise NoEngine(f"{' and '.join(missing)} not installed, and not to be had: {error}") from None
            for package in missing:
                unpacked = Path(directory) / "usr/libexec/docker/cli-plugins" / package
                shutil.copy2(unpacked, plugins / package)
    return {**environment, "DOCKER_CONFIG": str(configuration)}
