"""How often the cache has an answer that was asked for before in other words."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path

from benchmarks import cache
from benchmarks.bench import FIRST_DAY, STATIONS, Bench
from benchmarks.figures import Figure
from benchmarks.replay import Request, replay, share_of_hits, shown_states
from benchmarks.spellings import WAYS, WAYS_TO_THE_API, Way

LEAST_SHARE = 0.999
DAYS = 10
CONNECTIONS = 8
_DATABASE = "hit_ratio"
_PATH = "/air_quality"


def measure(bench: Bench) -> list[Figure]:
    """Ask a thousand questions once, and then each of them in twenty ways, five times, in any order."""
    varnish = cache.find()
    databases = bench.databases
    source = bench.hourly(STATIONS * DAYS * 24)
    databases.migrate(_DATABASE)
    databases.load(_DATABASE, source)
    databases.settle(_DATABASE)
    questions = _questions(source)
    warming = _requests(questions, WAYS[:1], times=1)
    tags: dict[int, bytes] = {}
    with bench.api(_DATABASE) as api, cache.cached(bench, varnish, api) as airq:

        def ask(requests: list[Request]) -> Counter[str]:
            random.Random(1).shuffle(requests)
            spread = [requests[number::CONNECTIONS] for number in range(CONNECTIONS)]
            return replay(airq.port, spread, tags)

        ask(warming)
        states = ask(_requests(questions, WAYS, bench.pairs))
        others = ask(_requests(questions, WAYS_TO_THE_API, bench.pairs))
    databases.drop(_DATABASE)
    bench.say(f"hit-ratio: {shown_states(states)}; in more ways: {shown_states(others)}")
    share, share_of_all = share_of_hits(states), share_of_hits(states + others)
    return [
        Figure(
            what=f"hit ratio, each question in {len(WAYS)} ways",
            airq=shown_states(states),
            peer="",
            value=share,
            shown=f"{share:.3%}",
            target=f"≥ {LEAST_SHARE:.1%}",
            met=share >= LEAST_SHARE,
            ran=f"{len(questions):,} questions for a station's day, each asked once in one way and then "
            f"{bench.pairs} times in each of {len(WAYS)} ways: {states.total():,} requests in an order by "
            f"chance on {CONNECTIONS} connections, counted by X-Cache; every answer had the ETag of its "
            f"question's first. The ways: {'; '.join(way.name for way in WAYS)}",
            runs={"hits": [float(states["hit"])], "requests": [float(states.total())]},
        ),
        Figure(
            what=f"hit ratio with {len(WAYS_TO_THE_API)} ways more",
            airq=shown_states(states + others),
            peer="",
            value=share_of_all,
            shown=f"{share_of_all:.3%}",
            target="",
            met=None,
            ran="the same and behind it, as often each, ways that mean the same to the API alone "
            f"({others['miss']:,} misses): {'; '.join(way.name for way in WAYS_TO_THE_API)}",
            runs={"hits": [float(others["hit"])], "requests": [float(others.total())]},
        ),
    ]


def _requests(questions: list[tuple[str, ...]], ways: Sequence[Way], times: int) -> list[Request]:
    return [
        (number, way.request(_PATH, parts))
        for number, parts in enumerate(questions)
        for way in ways
        for _ in range(times)
    ]


def _questions(source: Path) -> list[tuple[str, ...]]:
    """Return the parameters of each question: two pollutants of a station on a day."""
    with source.open() as lines:
        stations = [line.split(",", 2)[1] for line in islice(lines, 1, STATIONS + 1)]
    days = [f"{FIRST_DAY + timedelta(days=day):%Y-%m-%d}T00%3A00%3A00Z" for day in range(DAYS + 1)]
    return [
        (f"station={station}", f"from={day}", f"to={days[number + 1]}", "pollutant=no2", "pollutant=o3")
        for station in stations
        for number, day in enumerate(days[:-1])
    ]
