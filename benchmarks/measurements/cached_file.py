"""How many requests a second get the whole original file from the cache, beside Redis and static files."""

from contextlib import ExitStack
from statistics import median

from benchmarks import cache
from benchmarks.bench import Bench
from benchmarks.figures import BenchmarkFailed, Figure, median_ratio, shown_rate
from benchmarks.measurements.answers import Rows, check_same, fetch, fetch_rows
from benchmarks.peers.flask import filled, flask_cached
from benchmarks.peers.nginx import PATH, nginx
from benchmarks.peers.redis import redis
from benchmarks.processes import Service, require
from benchmarks.wrk import Load, load

LEAST_OVER_REDIS = 10
LEAST_OVER_FILE = 0.7
CONNECTIONS = 8
THREADS = 2
"""Of wrk: a single one is busy all the time taking in nginx's answers, and would be what is measured."""

_DATABASE = "cached_file"
_OURS, _THEIRS = "/air_quality?limit=1000", "/air_quality"
_GZIP = "Accept-Encoding: gzip"
_KEPT, _ANEW = "Flask, gzip kept in Redis", "Flask, gzip made anew"


def measure(bench: Bench) -> list[Figure]:
    """Ask for all rows of the file in turn: packed, of the cache and Flask; as they are, of it and nginx."""
    require("wrk", "redis-server", "nginx")
    varnish = cache.find()
    source, databases = bench.whole_file(), bench.databases
    databases.migrate(_DATABASE)
    databases.load(_DATABASE, source)
    databases.settle(_DATABASE)
    with bench.api(_DATABASE) as api, cache.cached(bench, varnish, api) as airq:
        expected = fetch_rows(airq.url + _OURS)
        body = fetch(airq.url + _OURS)
        how = (
            f"all {len(expected)} rows of {source.name} as JSON, `GET {_OURS}` from the cache "
            f"({cache.HOW_RUN[varnish.kind]}), its log written to a file"
        )
        figures = [
            _beside_redis(bench, airq, source_rows=expected, how=how),
            _beside_file(bench, airq, body, how=how),
        ]
    databases.drop(_DATABASE)
    return figures


def _beside_redis(bench: Bench, airq: cache.Cache, source_rows: Rows, how: str) -> Figure:
    with ExitStack() as stack:
        stack.enter_context(filled(bench, bench.whole_file()))
        store = stack.enter_context(redis(bench))
        peers = {
            _KEPT: (stack.enter_context(flask_cached(bench, store, keeping_compressed=True)), _THEIRS),
            _ANEW: (stack.enter_context(flask_cached(bench, store, keeping_compressed=False)), _THEIRS),
        }
        for name, (peer, path) in peers.items():
            # Twice: what is measured is the answer from Redis.
            for _ in range(2):
                check_same(name, fetch_rows(peer.url + path, "gzip"), source_rows)
        size = len(fetch(airq.url + _OURS, "gzip"))
        runs, logged = _in_turn(bench, airq, peers, [_GZIP], "cached-file, gzip")
    ours, kept, anew = runs.values()
    best = [max(rates) for rates in zip(kept, anew, strict=True)]
    ratio = median_ratio(ours, best)
    return Figure(
        what="whole file cached, gzip",
        airq=shown_rate(ours, "requests"),
        peer=f"Flask-Caching, Redis: {median(kept):,.0f}; packing anew: {shown_rate(anew, 'requests')}",
        value=ratio,
        shown=f"{ratio:.0f} ×",
        target=f"≥ {LEAST_OVER_REDIS} × the better",
        met=ratio >= LEAST_OVER_REDIS,
        ran=f"{how} ({logged:.1%} of the requests), gzip of {size:,} bytes; beside the Flask service "
        "of whole-file with Flask-Caching (@cache.cached, RedisCache, hiredis) and Flask-Compress under "
        "one gunicorn worker, every request a hit in a Redis on the same machine: once with Flask-Compress "
        f"keeping what it packed in Redis too, once as it comes, packing each answer; {bench.pairs} rounds "
        f"of {bench.seconds} s each with {CONNECTIONS} connections and {THREADS} threads of wrk",
        runs={f"{name} requests per second": rates for name, rates in runs.items()},
    )


def _beside_file(bench: Bench, airq: cache.Cache, body: bytes, how: str) -> Figure:
    with nginx(bench, body) as peer:
        if fetch(peer.url + PATH) != fetch(airq.url + _OURS):
            raise BenchmarkFailed("nginx and the cache answer with different bytes")
        runs, logged = _in_turn(bench, airq, {"nginx": (peer, PATH)}, [], "cached-file, identity")
    ours, theirs = runs.values()
    ratio = median_ratio(ours, theirs)
    return Figure(
        what="whole file cached, identity",
        airq=shown_rate(ours, "requests"),
        peer=f"nginx, static file: {shown_rate(theirs, 'requests')}",
        value=ratio,
        shown=f"{ratio:.2f} ×",
        target=f"≥ {LEAST_OVER_FILE} ×",
        met=ratio >= LEAST_OVER_FILE,
        ran=f"{how} ({logged:.1%} of the requests), {len(body):,} bytes as they are; beside nginx with the "
        "same bytes in a file: a worker for each CPU, sendfile, tcp_nopush, open_file_cache, a log of the "
        f"same form with a buffer; {bench.pairs} pairs of {bench.seconds} s with {CONNECTIONS} connections "
        f"and {THREADS} threads of wrk",
        runs={f"{name} requests per second": rates for name, rates in runs.items()},
    )


def _in_turn(
    bench: Bench, airq: cache.Cache, peers: dict[str, tuple[Service, str]], headers: list[str], title: str
) -> tuple[dict[str, list[float]], float]:
    """Return each service's rates, and the share of the cache's requests that reached its log."""
    services: dict[str, tuple[Service, str]] = {"airq": (airq, _OURS), **peers}

    def run(name: str, seconds: int) -> Load:
        service, path = services[name]
        return load(service, path, CONNECTIONS, seconds, headers=headers, threads=THREADS)

    for name in services:
        run(name, 1)
    runs: dict[str, list[float]] = {name: [] for name in services}
    logged_before, answered = airq.logged(), 0
    for number in range(bench.pairs):
        for name in services:
            found = run(name, bench.seconds)
            runs[name].append(found.per_second)
            answered += found.requests if name == "airq" else 0
        shown = ", ".join(f"{name} {rates[-1]:,.0f}" for name, rates in runs.items())
        bench.say(f"{title} {number + 1}/{bench.pairs}: {shown} requests/s")
    return runs, (airq.logged() - logged_before) / answered
