"""The load generator: wrk (Debian package `wrk`), one thread of it, without compression."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import BenchmarkFailed
from benchmarks.processes import Service

MISSING = "wrk is not installed, and requests can't be sent fast enough without it: apt install wrk"


def is_installed() -> bool:
    """Tell whether wrk is there."""
    return shutil.which("wrk") is not None


def requests_per_second(
    service: Service, path: str, connections: int, seconds: int, script: Sequence[str | Path] = ()
) -> float:
    """Put a service under load and return how many requests a second it answered.

    Args:
        path: of the requests; a script makes its own instead.
        connections: how many are open, each with one request at a time.
        script: a Lua script and its arguments.

    Raises:
        BenchmarkFailed: an answer was not a good one, or wrk itself failed.
    """
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    if script:
        options += ["-s", str(script[0])]
    command = ["wrk", *options, f"{service.url}{path}", "--", *map(str, script[1:])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    faults = re.findall(r"Non-2xx.*|Socket errors.*|unable to .*|PANIC.*", done.stdout + done.stderr)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if done.returncode or faults or rate is None or not float(rate[1]):
        fault = "; ".join(faults) or done.stderr.strip()[-500:] or "no request was answered"
        raise BenchmarkFailed(f"wrk on {service.url}{path}: {fault}")
    return float(rate[1])


def version() -> str:
    """Return wrk's version."""
    done = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return done.stdout.split("[")[0].removeprefix("wrk").strip() or "unknown"
