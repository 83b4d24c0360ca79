"""The load generator: wrk (Debian package `wrk`)."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import BenchmarkFailed
from benchmarks.processes import Service


@dataclass(frozen=True)
class Load:
    """What a service did under load: requests answered in all, and in a second."""

    requests: int
    per_second: float


def load(
    service: Service,
    path: str,
    connections: int,
    seconds: int,
    *,
    script: Sequence[str | Path] = (),
    headers: Sequence[str] = (),
    threads: int = 1,
) -> Load:
    """Put a service under load and return how many requests it answered.

    Args:
        path: of the requests; a script makes its own instead.
        connections: how many are open, each with one request at a time.
        script: a Lua script and its arguments.
        headers: of the requests; without any they ask for no compression.
        threads: of wrk; it is one that is measured where one is busy all the time.

    Raises:
        BenchmarkFailed: an answer was not a good one, or wrk itself failed.
    """
    options = [f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    for header in headers:
        options += ["-H", header]
    if script:
        options += ["-s", str(script[0])]
    command = ["wrk", *options, f"{service.url}{path}", "--", *map(str, script[1:])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    faults = re.findall(r"Non-2xx.*|Socket errors.*|unable to .*|PANIC.*", done.stdout + done.stderr)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode or faults or rate is None or count is None or not float(rate[1]):
        fault = "; ".join(faults) or done.stderr.strip()[-500:] or "no request was answered"
        raise BenchmarkFailed(f"wrk on {service.url}{path}: {fault}")
    return Load(int(count[1]), float(rate[1]))


def requests_per_second(
    service: Service, path: str, connections: int, seconds: int, script: Sequence[str | Path] = ()
) -> float:
    """Return how many requests a second a service answers under the load of one thread of wrk."""
    return load(service, path, connections, seconds, script=script).per_second


def version() -> str:
    """Return wrk's version, `missing` where it is not installed."""
    if shutil.which("wrk") is None:
        return "missing"
    done = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return done.stdout.split("[")[0].removeprefix("wrk").strip() or "unknown"
