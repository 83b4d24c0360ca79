"""Programs that are measured or served: started, timed, awaited and stopped."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import BenchmarkFailed, LeftOut

COMMAND_SECONDS = 600.0
"""A command that takes longer is ended, so that a run of the benchmarks ends too."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0
AIRQ = (sys.executable, "-m", "airq")
REPOSITORY = Path(__file__).resolve().parents[1]

PLACES = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
"""Servers are installed where only root's PATH leads."""


@dataclass(frozen=True)
class Usage:
    """What a command took: seconds on the wall, and its largest resident memory in bytes."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Service:
    """A running service: where it listens on 127.0.0.1, and its process."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def memory(self, field: str) -> int:
        """Return a field of /proc/PID/status, such as VmRSS or VmHWM, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, text = line.partition(":")
            if name == field:
                return int(text.split()[0]) * 1024
        raise BenchmarkFailed(f"process {self.pid} tells no {field}")

    def forget_peak(self) -> None:
        """Begin VmHWM anew from the memory that is resident now (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def require(*programs: str) -> list[str]:
    """Return the paths of programs, each of which comes with the Debian package of its name.

    Raises:
        LeftOut: some are not installed.
    """
    found = {name: shutil.which(name, path=PLACES) for name in programs}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise LeftOut(
            f"{' and '.join(missing)} missing: apt-get install --no-install-recommends " + " ".join(missing)
        )
    return [path for path in found.values() if path is not None]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without any setting of airq's, plus these."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("AIRQ_")}
    return {**ours, **settings}


def run(command: Sequence[str | Path], log: Path, settings: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end and return what it took.

    The peak is the kernel's for the process itself and for whatever it waited for. A new process
    counts its parent's memory until it runs its own program, so ours must stay the smaller one:
    nothing here imports numpy or reads a file as a whole.

    Raises:
        BenchmarkFailed: it failed or took too long; the message has the last lines that it printed.
    """
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment(settings or {}), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        guard = threading.Timer(COMMAND_SECONDS, process.kill)
        guard.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            guard.cancel()
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkFailed(f"{_shown(command)} ended with {process.returncode}: {_tail(log)}")
    return Usage(seconds, usage.ru_maxrss * 1024)


@contextmanager
def serving(
    command: Sequence[str | Path],
    port: int,
    ready_path: str | None,
    log: Path,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Keep a service running while the block runs; its output goes to a file.

    Args:
        ready_path: answered with 200 once it is ready; without one, it is ready as soon as it listens.

    Raises:
        BenchmarkFailed: it does not answer, or ends.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(settings or {}), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (_listens(port) if ready_path is None else answers(f"http://127.0.0.1:{port}{ready_path}")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailed(f"{_shown(command)} does not answer: {_tail(log)}")
            time.sleep(0.05)
        yield Service(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Tell whether a URL is answered with 200."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)
    return False


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _shown(command: Sequence[str | Path]) -> str:
    return " ".join(map(str, command))[:200]


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-2:])[-500:] or "it printed nothing"
