"""How long the whole service takes from `docker compose up` to its first answer."""

import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figures import BenchmarkFailed, Figure, LeftOut
from benchmarks.processes import REPOSITORY, free_port
from tests.containers.engine import CACHE, Engine, NoEngine, running_engine
from tests.containers.lookalikes import bases
from tests.containers.lookalikes.debian import CantMake
from tests.containers.service import Service

MOST_SECONDS = 30.0
ANSWER_SECONDS = 120.0
"""A service that has not answered by then is not waited for any longer."""

BUILD_SECONDS = 1800.0
TAG = "bench"
_PATH = "/air_quality?limit=1000"


def measure(bench: Bench) -> list[Figure]:
    """Bring the service up from nothing, images present, and ask until the CSV's rows are served."""
    try:
        with running_engine() as engine:
            source = bases.ensure(engine.docker, CACHE / "lookalikes", may_make=engine.is_own)
            bench.say("cold-start: building the images")
            built = engine.run("make", "images", f"TAG={TAG}", cwd=REPOSITORY, timeout_seconds=BUILD_SECONDS)
            if built.status:
                raise BenchmarkFailed(f"make images: {(built.out + built.err)[-500:]}")
            return [_figure(bench, _seconds(bench, engine), sorted(set(source.values())))]
    except (NoEngine, CantMake) as reason:
        raise LeftOut(str(reason)) from None
    except (AssertionError, subprocess.TimeoutExpired) as fault:
        raise BenchmarkFailed(str(fault)[-500:]) from None


def _seconds(bench: Bench, engine: Engine) -> list[float]:
    directory = bench.directory / "compose"
    directory.mkdir(exist_ok=True)
    for name in ("compose.yaml", ".env.example"):
        shutil.copy2(REPOSITORY / name, directory)
    made = engine.run(sys.executable, REPOSITORY / "deploy" / "make_env.py", cwd=directory)
    if made.status:
        raise BenchmarkFailed(made.err.strip())
    csv = _readable(bench.whole_file(), directory / "measurements.csv")
    rows = sum(1 for _ in csv.open()) - 1
    project = f"airq-bench-{secrets.token_hex(3)}"
    service = Service(engine, directory, project, free_port(), csv, {"AIRQ_TAG": TAG})
    seconds = []
    try:
        for number in range(bench.pairs):
            service.down("--volumes")
            started = time.monotonic()
            service.compose("up", "--detach")
            _await_rows(service, rows)
            seconds.append(time.monotonic() - started)
            bench.say(f"cold-start {number + 1}/{bench.pairs}: {seconds[-1]:.1f} s")
    finally:
        service.down("--volumes", "--remove-orphans")
    return seconds


def _readable(source: Path, target: Path) -> Path:
    """Copy a file to where the account in the container can read it."""
    shutil.copyfile(source, target)
    target.chmod(0o644)
    return target


def _await_rows(service: Service, rows: int) -> None:
    """Ask until the service answers, and see that the answer has all rows."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            answer = service.get(_PATH)
            if answer.status == 200:
                break
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"no answer within {ANSWER_SECONDS:g} s")
        time.sleep(0.05)
    found = len(answer.json()["data"])
    if found != rows:
        raise BenchmarkFailed(f"the first answer has {found} rows of {rows}")


def _figure(bench: Bench, seconds: list[float], source: list[str]) -> Figure:
    worst = max(seconds)
    return Figure(
        what="cold start",
        airq=f"{median(seconds):.1f} s; the longest {worst:.1f} s",
        peer="",
        value=worst,
        shown=f"{worst:.1f} s",
        target=f"< {MOST_SECONDS:g} s",
        met=worst < MOST_SECONDS,
        ran="`docker compose up --detach` without containers, networks and volumes, images present, to the "
        f"first `GET {_PATH}` that is answered with 200 and every row of the CSV: database made, migrated "
        f"and loaded, API and cache up; {bench.pairs} times; base images: {' and '.join(source)}",
        runs={"seconds": seconds},
    )
