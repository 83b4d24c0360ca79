"""Whether a load that changes one month costs the other months any hits."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice, takewhile
from pathlib import Path

from airq.domain.pollutants import NAMES
from benchmarks import cache
from benchmarks.bench import FIRST_DAY, STATIONS, Bench
from benchmarks.figures import BenchmarkFailed, Figure
from benchmarks.measurements.answers import fetch_rows
from benchmarks.processes import AIRQ, Service, run
from benchmarks.replay import Request, replay, share_of_hits, shown_states, written
from benchmarks.spellings import HEADERS

CONNECTIONS = 4
DAYS = 120
CHANGED_MONTH = 2
OTHER_MONTHS = (1, 3, 4)
SETTLING_SECONDS = 60.0
"""The changed month's new answers must have come by then."""

_DATABASE = "hit_ratio_during_load"


def measure(bench: Bench) -> list[Figure]:
    """Ask for closed ranges on and on; meanwhile load a file with other values for one month."""
    varnish = cache.find()
    databases, log = bench.databases, bench.directory / "command.log"
    source = bench.hourly(STATIONS * DAYS * 24)
    changed = _changed(source, bench.directory / "changed-month.csv")
    databases.migrate(_DATABASE)
    databases.load(_DATABASE, source)
    databases.settle(_DATABASE)
    with source.open() as lines:
        stations = [line.split(",", 2)[1] for line in islice(lines, 1, STATIONS + 1)]
    asked = _requests(stations, OTHER_MONTHS)
    touched = _requests(stations, (CHANGED_MONTH,))
    tags: dict[int, bytes] = {}
    with bench.api(_DATABASE) as api, cache.cached(bench, varnish, api) as airq:
        replay(airq.port, [asked], tags)
        replay(airq.port, [touched])
        deadline = time.monotonic() + bench.seconds
        before = replay(airq.port, _endless(asked, lambda: time.monotonic() < deadline), tags)
        old = _value(airq, stations[0])
        ended = threading.Event()

        def going_on() -> bool:
            return not ended.is_set()

        with ThreadPoolExecutor(2) as threads:
            others = threads.submit(replay, airq.port, _endless(asked, going_on), tags)
            the_month = threads.submit(replay, airq.port, _endless(touched, going_on)[:1])
            try:
                settings = {**databases.settings(_DATABASE), **airq.purging}
                took = run([*AIRQ, "load", changed], log, settings)
                _await(lambda: _value(airq, stations[0]) == round(old + 1, 2))
            finally:
                ended.set()
            during, month = others.result(), the_month.result()
    databases.drop(_DATABASE)
    if not month["stale"] + month["miss"]:
        raise BenchmarkFailed("the load purged nothing of the month that it changed")
    return [_figure(bench, before, during, month, took.seconds)]


def _figure(
    bench: Bench, before: Counter[str], during: Counter[str], month: Counter[str], seconds: float
) -> Figure:
    moved = share_of_hits(during) - share_of_hits(before)
    bench.say(f"hit-ratio-during-load: before {shown_states(before)}; during {shown_states(during)}")
    return Figure(
        what="hit ratio of other months during a load",
        airq=f"{share_of_hits(before):.3%}, then {share_of_hits(during):.3%}",
        peer="",
        value=moved,
        shown=f"moved by {moved * 100:+.3f} points",
        target="0",
        met=during.total() == during["hit"] and before.total() == before["hit"],
        ran=f"closed ranges of {len(OTHER_MONTHS)} months, a station's day and all stations' hour, on "
        f"{CONNECTIONS} connections: {shown_states(before)} before and {shown_states(during)} while "
        f"`airq load` changed every row of another month ({seconds:.0f} s, both of its purges included); "
        f"of that month meanwhile: {shown_states(month)}; every answer of the other months had the ETag "
        "that it had before",
        runs={"share of hits, before and during": [share_of_hits(before), share_of_hits(during)]},
    )


def _changed(source: Path, target: Path) -> Path:
    """Write one month of a file anew, its first pollutant increased by 1 everywhere."""
    month = f"{FIRST_DAY:%Y}-{CHANGED_MONTH:02}-"
    with source.open() as lines, target.open("w") as written_to:
        header = next(lines)
        place = header.strip().split(",").index(NAMES[0])
        written_to.write(header)
        for line in lines:
            if line.startswith(month):
                cells = line.split(",")
                cells[place] = f"{float(cells[place]) + 1:.2f}"
                written_to.write(",".join(cells))
    return target


def _requests(stations: list[str], months: tuple[int, ...]) -> list[Request]:
    """Return questions for a station's 10th of a month, and for an hour of each day of all stations."""
    targets = []
    for month in months:
        first = f"{FIRST_DAY:%Y}-{month:02}"
        targets += [f"/air_quality?station={name}&from={first}-10&to={first}-11" for name in stations]
        targets += [
            f"/air_quality?from={first}-{day:02}T07:00Z&to={first}-{day:02}T08:00Z" for day in range(1, 29)
        ]
    return [(number, written(target, HEADERS)) for number, target in enumerate(targets)]


def _endless(requests: list[Request], going_on: Callable[[], bool]) -> list[Iterator[Request]]:
    """Return each connection's requests: its own over and over, as long as it goes on."""
    return [
        takewhile(lambda _: going_on(), cycle(requests[number::CONNECTIONS])) for number in range(CONNECTIONS)
    ]


def _value(airq: Service, station: str) -> float:
    """Return the first value that is served of a station in the changed month."""
    month = f"{FIRST_DAY:%Y}-{CHANGED_MONTH:02}"
    [(_, _, value, *_)] = fetch_rows(
        f"{airq.url}/air_quality?station={station}&from={month}-01&to={month}-02&limit=1"
    )
    return float(value)


def _await(holds: Callable[[], bool]) -> None:
    """Wait until something holds.

    Raises:
        BenchmarkFailed: it does not in time.
    """
    deadline = time.monotonic() + SETTLING_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise BenchmarkFailed("the changed month's new values were not served")
        time.sleep(0.2)
