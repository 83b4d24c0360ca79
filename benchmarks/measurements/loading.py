"""How fast `airq load` is beside `psql \\copy`, and how much memory it needs."""

from datetime import UTC, datetime
from pathlib import Path

from airq.domain.pollutants import NAMES
from benchmarks.bench import FIRST_DAY, STATIONS, Bench
from benchmarks.figures import BenchmarkFailed, Figure, median_ratio, shown_mebibytes, shown_rate

LEAST_RATIO = 1.3
MOST_BYTES = 2**30
MOST_GROWTH = 1.15
"""What passes as the same memory for ten times the rows."""

_EMPTY, _PARTITIONED, _LOADED = "load_empty", "load_partitioned", "load_target"
_COLUMNS = f"time, station_id, load_id, {', '.join(NAMES)}"


def measure_rate(bench: Bench) -> list[Figure]:
    """Load the same rows with airq and with psql in turn, each time into a fresh database."""
    rows, databases = bench.million, bench.databases
    source = bench.hourly(rows)
    keyed = bench.directory / "keyed.csv"
    _resolve_stations(source, keyed)
    databases.migrate(_EMPTY)
    databases.make(_PARTITIONED, _EMPTY)
    for statement in _partitions(rows):
        databases.psql(_PARTITIONED, statement)
    copy = f"\\copy airq.measurement ({_COLUMNS}) FROM '{keyed}' (FORMAT csv)"
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(bench.pairs):
        databases.make(_LOADED, _EMPTY)
        databases.checkpoint()
        ours.append(rows / databases.load(_LOADED, source).seconds)
        _check_count(bench, rows)
        databases.make(_LOADED, _PARTITIONED)
        databases.checkpoint()
        theirs.append(rows / databases.psql(_LOADED, copy).seconds)
        _check_count(bench, rows)
        bench.say(f"load {number + 1}/{bench.pairs}: airq {ours[-1]:,.0f}, psql {theirs[-1]:,.0f} rows/s")
    for name in (_LOADED, _PARTITIONED, _EMPTY):
        databases.drop(name)
    keyed.unlink()
    ratio = median_ratio(ours, theirs)
    return [
        Figure(
            what="load",
            airq=shown_rate(ours, "rows"),
            peer=f"psql \\copy: {shown_rate(theirs, 'rows')}",
            value=ratio,
            shown=f"{ratio:.2f} ×",
            target=f"≥ {LEAST_RATIO} ×",
            met=ratio >= LEAST_RATIO,
            ran=f"{rows:,} rows of {STATIONS} stations, hourly, {bench.pairs} pairs; `airq load` from the "
            "start of the process to its end, beside `psql \\copy` of a CSV with station keys in place of "
            "names and the same number text into the same table with both indexes and its monthly partitions "
            "made before; same server and durability, a fresh database and a CHECKPOINT before each",
            runs={"airq rows per second": ours, "psql rows per second": theirs},
        )
    ]


def measure_memory(bench: Bench) -> list[Figure]:
    """Compare the peak memory for a million rows with that for ten times as many."""
    databases = bench.databases
    databases.migrate(_EMPTY)
    peaks: dict[int, float] = {}
    for rows in (bench.million, 10 * bench.million):
        source = bench.hourly(rows)
        databases.make(_LOADED, _EMPTY)
        databases.checkpoint()
        usage = databases.load(_LOADED, source)
        _check_count(bench, rows)
        peaks[rows] = float(usage.peak_bytes)
        bench.say(
            f"load-memory: {rows:,} rows: {shown_mebibytes(usage.peak_bytes)}, "
            f"{rows / usage.seconds:,.0f} rows/s"
        )
        databases.drop(_LOADED)
        source.unlink()
    databases.drop(_EMPTY)
    few, many = peaks.values()
    growth = many / few
    return [
        Figure(
            what="load: memory",
            airq=f"{shown_mebibytes(few)}, then {shown_mebibytes(many)}",
            peer="",
            value=growth,
            shown=f"{growth:.2f} ×",
            target=f"≤ {MOST_GROWTH} × and < 1 GiB",
            met=growth <= MOST_GROWTH and max(few, many) < MOST_BYTES,
            ran=f"the largest resident memory of `airq load` for {bench.million:,} and for "
            f"{10 * bench.million:,} rows, once each, as the kernel counts it (PostgreSQL's not included)",
            runs={"bytes": [few, many]},
        )
    ]


def _resolve_stations(source: Path, keyed: Path) -> None:
    """Write the rows for psql: keys in place of names, a load's number, and all other text as it is."""
    keys: dict[str, int] = {}
    with source.open() as lines, keyed.open("w") as out:
        next(lines)
        for line in lines:
            time, station, values = line.split(",", 2)
            out.write(f"{time},{keys.setdefault(station, len(keys) + 1)},1,{values}")


def _partitions(rows: int) -> list[str]:
    """Return the statements that make the monthly partitions of hourly rows, with their indexes."""
    last = datetime.fromtimestamp(FIRST_DAY.timestamp() + rows / STATIONS * 3600, UTC)
    count = (last.year - FIRST_DAY.year) * 12 + last.month
    months = [f"{FIRST_DAY.year + month // 12}-{month % 12 + 1:02}-01" for month in range(count)]
    return [f"SELECT airq.{make}_partition('{month}')" for month in months for make in ("add", "index")]


def _check_count(bench: Bench, rows: int) -> None:
    found = int(bench.databases.ask(_LOADED, "SELECT count(*) FROM airq.measurement"))
    if found != rows:
        raise BenchmarkFailed(f"{rows:,} rows were loaded, and the table has {found:,}")
