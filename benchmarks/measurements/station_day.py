"""How many requests a second get one station's day out of a million rows, beside other table services."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.bench import FIRST_DAY, MILLION, STATIONS, Bench
from benchmarks.figures import BenchmarkFailed, Figure, shown_rate
from benchmarks.measurements.answers import check_same, fetch_rows
from benchmarks.peers import datasette, roapi
from benchmarks.processes import Service, require
from benchmarks.wrk import requests_per_second

LEAST_RATIO = 4
CONNECTIONS = 8
ROWS_A_DAY = 96
_SCRIPT = Path(__file__).parents[1] / "station_days.lua"
_OURS = "/air_quality?station={station}&from={from}&to={to}"
_CHECKED = 5


def measure(bench: Bench) -> list[Figure]:
    """Ask each service in turn for days of stations, no two requests alike."""
    require("wrk")
    rows, source = bench.million_rows(), bench.quarter_hourly()
    names = bench.directory / "stations.txt"
    with source.open() as lines:
        stations = [line.split(",", 2)[1] for line in islice(lines, 1, STATIONS + 1)]
    names.write_text("".join(f"{station}\n" for station in stations))
    days = rows // (STATIONS * ROWS_A_DAY)
    bench.say("station-day: making the SQLite file and starting Datasette and ROAPI")
    with ExitStack() as stack:
        airq = stack.enter_context(bench.api(MILLION))
        table_service = stack.enter_context(datasette.datasette(bench, source))
        memory_service = stack.enter_context(roapi.roapi(bench, source))
        asked = {
            "airq": (airq, _OURS),
            "Datasette": (table_service, datasette.TABLE_PATH),
            "Datasette's SQL": (table_service, datasette.SQL_PATH),
            "ROAPI": (memory_service, roapi.PATH),
        }
        _check(asked, stations, days)

        def load(name: str, seconds: int, start: int) -> float:
            service, template = asked[name]
            first = f"{FIRST_DAY:%Y-%m-%d}"
            script: list[str | Path] = [_SCRIPT, template, names, first, str(days), str(start)]
            return requests_per_second(service, "", CONNECTIONS, seconds, script)

        runs = _run(bench, load, list(asked))
    return [_figure(bench, runs, rows)]


def _check(asked: dict[str, tuple[Service, str]], stations: list[str], days: int) -> None:
    """See that all answer with the same rows for some stations and days."""
    for number, day in enumerate(_some_days(days)):
        station = stations[number * 17 % len(stations)]
        answers = {
            name: fetch_rows(service.url + _filled(template, station, day))
            for name, (service, template) in asked.items()
        }
        expected = answers["airq"]
        if len(expected) != ROWS_A_DAY:
            raise BenchmarkFailed(f"airq has {len(expected)} rows for {station} on {day:%Y-%m-%d}")
        for name, found in answers.items():
            check_same(name, found, expected)


def _some_days(days: int) -> Iterator[datetime]:
    for number in range(_CHECKED):
        yield FIRST_DAY + timedelta(days=number * (days - 1) // (_CHECKED - 1))


def _filled(template: str, station: str, day: datetime) -> str:
    day_after = day + timedelta(days=1)
    return template.format_map({"station": station, "from": f"{day:%Y-%m-%d}", "to": f"{day_after:%Y-%m-%d}"})


def _run(bench: Bench, load: Callable[[str, int, int], float], services: list[str]) -> dict[str, list[float]]:
    for name in services:
        load(name, 1, 0)
    runs: dict[str, list[float]] = {name: [] for name in services}
    for number in range(bench.pairs):
        for name in services:
            runs[name].append(load(name, bench.seconds, 1000 * (number + 1)))
        shown = ", ".join(f"{name} {rates[-1]:,.0f}" for name, rates in runs.items())
        bench.say(f"station-day {number + 1}/{bench.pairs}: {shown} requests/s")
    return runs


def _figure(bench: Bench, runs: dict[str, list[float]], rows: int) -> Figure:
    ours, by_table, by_sql, in_memory = runs.values()
    best = [max(rates) for rates in zip(by_table, in_memory, strict=True)]
    ratio = median(one / other for one, other in zip(ours, best, strict=True))
    sql_ratio = median(one / other for one, other in zip(ours, by_sql, strict=True))
    better = "Datasette" if median(by_table) >= median(in_memory) else "ROAPI"
    return Figure(
        what="station's day",
        airq=shown_rate(ours, "requests"),
        peer=f"Datasette: {median(by_table):,.0f}; ROAPI: {median(in_memory):,.0f} requests/s",
        value=ratio,
        shown=f"{ratio:.1f} ×",
        target=f"≥ {LEAST_RATIO} × the better (wish: 5 ×)",
        met=ratio >= LEAST_RATIO,
        ran=f"{ROWS_A_DAY} rows of one station and day out of {rows:,}, `GET {_OURS}`, another station "
        "and day with each request; airq with every request logged to a file; Datasette's JSON by table "
        "filters from an immutable SQLite file stored by station and time; ROAPI's REST filters on a table "
        f"in memory, on all CPUs; the better one here is {better}; {bench.pairs} rounds of {bench.seconds} s "
        f"each with {CONNECTIONS} connections of wrk. For comparison: by SQL of the client's own, without "
        f"its table API, Datasette answered {shown_rate(by_sql, 'requests')} (airq: {sql_ratio:.1f} ×)",
        runs={f"{name} requests per second": rates for name, rates in runs.items()},
    )
