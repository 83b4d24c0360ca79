"""How many requests a second get the whole original file, beside the ordinary Flask service."""

from benchmarks.bench import Bench
from benchmarks.figures import Figure, median_ratio, shown_rate
from benchmarks.measurements.answers import check_same, fetch_rows
from benchmarks.peers.flask import flask
from benchmarks.processes import require
from benchmarks.wrk import requests_per_second

LEAST_RATIO = 10
CONNECTIONS = (8, 16)
_DATABASE = "whole_file"
_OURS, _THEIRS = "/air_quality?limit=1000", "/air_quality"


def measure(bench: Bench) -> list[Figure]:
    """Ask one process of each for all rows of the file, in turn, nothing cached."""
    require("wrk")
    source, databases = bench.whole_file(), bench.databases
    databases.migrate(_DATABASE)
    databases.load(_DATABASE, source)
    databases.settle(_DATABASE)
    figures = []
    with bench.api(_DATABASE) as airq, flask(bench, source) as peer:
        expected = fetch_rows(airq.url + _OURS)
        check_same("Flask", fetch_rows(peer.url + _THEIRS), expected)
        for service, path in ((airq, _OURS), (peer, _THEIRS)):
            requests_per_second(service, path, CONNECTIONS[0], 1)
        for connections in CONNECTIONS:
            ours: list[float] = []
            theirs: list[float] = []
            for number in range(bench.pairs):
                ours.append(requests_per_second(airq, _OURS, connections, bench.seconds))
                theirs.append(requests_per_second(peer, _THEIRS, connections, bench.seconds))
                bench.say(
                    f"whole-file {number + 1}/{bench.pairs}, {connections} connections: "
                    f"airq {ours[-1]:,.1f}, Flask {theirs[-1]:,.1f} requests/s"
                )
            ratio = median_ratio(ours, theirs)
            figures.append(
                Figure(
                    what=f"whole file, {connections} connections",
                    airq=shown_rate(ours, "requests"),
                    peer=f"Flask + SQLAlchemy: {shown_rate(theirs, 'requests')}",
                    value=ratio,
                    shown=f"{ratio:.1f} ×",
                    target=f"≥ {LEAST_RATIO} ×",
                    met=ratio >= LEAST_RATIO,
                    ran=f"all {len(expected)} rows of {source.name} as JSON, `GET {_OURS}` from one API "
                    "process with every request logged to a file, beside a Flask service with SQLAlchemy's "
                    f"ORM and jsonify on the same PostgreSQL under one gunicorn worker; {bench.pairs} pairs "
                    f"of {bench.seconds} s with {connections} connections of wrk",
                    runs={"airq requests per second": ours, "Flask requests per second": theirs},
                )
            )
    databases.drop(_DATABASE)
    return figures
