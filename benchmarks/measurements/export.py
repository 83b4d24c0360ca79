"""How much memory an export of a million rows takes from the API's process, and how fast it is."""

import http.client
import time
from statistics import median

from benchmarks.bench import MILLION, Bench
from benchmarks.figures import BenchmarkFailed, Figure, shown_mebibytes, shown_rate
from benchmarks.processes import Service

MOST_GROWTH_BYTES = 64 * 2**20
PAUSE_SECONDS = 3.0
"""How long the client that stops reads nothing; what the process sends meanwhile, it must hold."""

_PATH = "/air_quality?format=csv"
_CHUNK_BYTES = 2**18


def measure(bench: Bench) -> list[Figure]:
    """Export all rows from a fresh process, to a client that reads on and to one that stops for a while."""
    rows = bench.million_rows()
    rates: list[float] = []
    growths: dict[bool, list[float]] = {False: [], True: []}
    for number in range(bench.pairs):
        for pausing in growths:
            with bench.api(MILLION) as airq:
                _export(airq, "/air_quality?format=csv&limit=10", 10, pausing=False)
                airq.forget_peak()
                idle = airq.memory("VmRSS")
                seconds = _export(airq, _PATH, rows, pausing=pausing)
                growths[pausing].append(float(airq.memory("VmHWM") - idle))
            if not pausing:
                rates.append(rows / seconds)
        reading_on, stopping = (shown_mebibytes(sizes[-1]) for sizes in growths.values())
        bench.say(
            f"export {number + 1}/{bench.pairs}: {rates[-1]:,.0f} rows/s, memory grew by {reading_on}, "
            f"with a client that stops {stopping}"
        )
    worst = max(median(growths[False]), median(growths[True]))
    return [
        Figure(
            what="export: memory over idle",
            airq=f"{shown_mebibytes(median(growths[False]))}; to a client that stops "
            f"{shown_mebibytes(median(growths[True]))}",
            peer="",
            value=worst,
            shown=shown_mebibytes(worst),
            target=f"≤ {MOST_GROWTH_BYTES // 2**20} MiB",
            met=worst <= MOST_GROWTH_BYTES,
            ran=f"`GET {_PATH}` of {rows:,} rows, {bench.pairs} times each, from a fresh API process that "
            "served one small export before: VmHWM of the process behind it, less its VmRSS before it; the "
            f"client that stops reads nothing for {PAUSE_SECONDS:g} s when it has a tenth of the rows",
            runs={"bytes": growths[False], "bytes, client that stops": growths[True]},
        ),
        Figure(
            what="export: rate",
            airq=shown_rate(rates, "rows"),
            peer="",
            value=median(rates),
            shown=shown_rate(rates, "rows"),
            target="",
            met=None,
            ran="the same exports, to the client that reads on, a Python program on the same machine",
            runs={"rows per second": rates},
        ),
    ]


def _export(airq: Service, path: str, rows: int, *, pausing: bool) -> float:
    """Read an export to its end and return the seconds that took."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", airq.port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    lines = 0
    while chunk := response.read(_CHUNK_BYTES):
        lines += chunk.count(b"\n")
        if pausing and lines > rows // 10:
            time.sleep(PAUSE_SECONDS)
            pausing = False
    connection.close()
    if response.status != 200 or lines != rows + 1:
        raise BenchmarkFailed(f"{path}: status {response.status}, {lines - 1:,} rows in place of {rows:,}")
    return time.perf_counter() - started
