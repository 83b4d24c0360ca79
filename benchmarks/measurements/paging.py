"""Whether the last pages of a million rows cost what the first ones cost."""

import http.client
import json
import time
from statistics import median

from benchmarks.bench import MILLION, Bench
from benchmarks.figures import BenchmarkFailed, Figure
from benchmarks.processes import Service

MOST_RATIO = 1.5
PAGES = 20
"""How many pages at each end are timed."""

ROUNDS = 5
_FIRST = "/air_quality?limit=1000"


def measure(bench: Bench) -> list[Figure]:
    """Follow `links.next` from the first page to the last, then time both ends in turn."""
    rows = bench.million_rows()
    with bench.api(MILLION) as airq:
        connection = http.client.HTTPConnection("127.0.0.1", airq.port, timeout=60)
        bench.say(f"pages: following links.next through {rows:,} rows")
        paths = _walk(connection, airq, rows)
        first: list[float] = []
        last: list[float] = []
        for _ in range(ROUNDS):
            first.append(median(_timed(connection, path)[0] for path in paths[:PAGES]))
            last.append(median(_timed(connection, path)[0] for path in paths[-PAGES:]))
        connection.close()
    ratio = median(late / early for late, early in zip(last, first, strict=True))
    bench.say(f"pages: first {median(first) * 1000:.1f} ms, last {median(last) * 1000:.1f} ms")
    return [
        Figure(
            what="last page over first",
            airq=f"{median(last) * 1000:.1f} ms over {median(first) * 1000:.1f} ms",
            peer="",
            value=ratio,
            shown=f"{ratio:.2f} ×",
            target=f"≤ {MOST_RATIO} ×",
            met=ratio <= MOST_RATIO,
            ran=f"`GET {_FIRST}` and links.next to the end of {rows:,} rows, {len(paths):,} pages on one "
            f"connection; then the first {PAGES} pages and the last {PAGES} in turn, {ROUNDS} rounds of "
            "each, by their median latency",
            runs={"first pages' seconds": first, "last pages' seconds": last},
        )
    ]


def _walk(connection: http.client.HTTPConnection, airq: Service, rows: int) -> list[str]:
    """Return the path of every page, in order."""
    paths, count = [_FIRST], 0
    while True:
        _, body = _timed(connection, paths[-1])
        page = json.loads(body)
        count += len(page["data"])
        following = page["links"]["next"]
        if following is None:
            break
        paths.append(following)
    if count != rows:
        raise BenchmarkFailed(f"the pages of {airq.url} have {count:,} rows together, not {rows:,}")
    return paths


def _timed(connection: http.client.HTTPConnection, path: str) -> tuple[float, bytes]:
    """Return the seconds from the request to the last byte of the answer, and the answer."""
    started = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - started
    if response.status != 200:
        raise BenchmarkFailed(f"{path} was answered with {response.status}")
    return seconds, body
