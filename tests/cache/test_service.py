"""The real API behind the real cache; `make test-cache` runs them."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.conftest import StartCache, wait_for
from tests.cache.varnish import ASKED, WHY_NOT
from tests.conftest import Airq, Database, airq_environment
from tests.e2e.serving import is_ready
from tests.ports import free_port

pytestmark = pytest.mark.skipif(not ASKED, reason=WHY_NOT)

HEADER = "TimeInstant,id_entity,so2,no2,co,o3,pm10,pm2_5"
OCTOBER = "2016-10-01 00:00:00.004,aq_salvia,{},48.5,0.65,48.4,20.1,9.1"
NOVEMBER = "2016-11-01 00:00:00.006,aq_jaen,5.5,51.7,0.73,48.0,16.6,9.4"
CLOSED = "/air_quality?station=aq_salvia&from=2016-10-01&to=2016-11-01"
OTHER_MONTH = "/air_quality?station=aq_jaen&from=2016-11-01&to=2016-12-01"


@pytest.fixture
def api(database: Database, airq: Airq, tmp_path: Path) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """An API with two measurements of two stations in two months: its port and process."""
    load(airq, database, tmp_path, "6.8")
    port, metrics_port = free_port(), free_port()
    settings = airq_environment(database) | {"AIRQ_PORT": str(port), "AIRQ_METRICS_PORT": str(metrics_port)}
    with (tmp_path / "api.log").open("wb") as log:
        command = [sys.executable, "-m", "airq", "serve"]
        with subprocess.Popen(command, env=settings, stdout=log, stderr=log) as process:
            try:
                deadline = time.monotonic() + 30
                while not is_ready(f"http://127.0.0.1:{port}"):
                    assert time.monotonic() < deadline, (tmp_path / "api.log").read_text()
                    time.sleep(0.05)
                yield port, process
            finally:
                process.kill()


def load(airq: Airq, database: Database, directory: Path, so2: str) -> None:
    """Load the two measurements, one of them with this value."""
    path = directory / "measurements.csv"
    path.write_text("\n".join([HEADER, OCTOBER.format(so2), NOVEMBER]) + "\n")
    done = airq("load", path, database=database)
    assert done.status == 0, done.err


def test_a_second_request_is_a_hit_and_equals_the_apis_own_answer(
    api: tuple[int, object], start_cache: StartCache
) -> None:
    cache = start_cache(api[0])
    first, second = cache.ask(CLOSED), cache.ask(CLOSED + "&utm_source=x", Cookie="a=b")
    direct = cache.ask(CLOSED, port=api[0])
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.body == second.body == direct.body
    assert json.loads(second.body)["data"][0]["so2"] == 6.8
    for name in ("etag", "cache-control", "content-type", "access-control-allow-origin", "vary"):
        assert second.headers[name] == direct.headers[name]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert not {"cache-tag", "xkey", "via", "x-varnish", "server"} & second.headers.keys()
    unchanged = cache.ask(CLOSED, If_None_Match=second.headers["etag"])
    assert (unchanged.status, unchanged.headers["x-cache"]) == (304, "hit")
    wait_for(lambda: [line["cache"] for line in cache.lines()[-3:]] == ["miss", "hit", "hit"], cache)


def test_a_purge_of_what_a_load_touched_brings_the_new_value_and_leaves_other_months_alone(
    api: tuple[int, object], start_cache: StartCache, airq: Airq, database: Database, tmp_path: Path
) -> None:
    cache = start_cache(api[0])
    for target in (CLOSED, OTHER_MONTH, "/stations"):
        assert cache.ask(target).status == 200
    load(airq, database, tmp_path, "7.25")
    assert cache.purge(Purge_Tags="all m:2016-10 s:aq_salvia s:aq_salvia/2016-10") == 2
    assert cache.ask(OTHER_MONTH).headers["x-cache"] == "hit"

    def shows_the_new_value() -> bool:
        return bool(json.loads(cache.ask(CLOSED).body)["data"][0]["so2"] == 7.25)

    wait_for(shows_the_new_value, cache, 10)
    assert cache.ask("/", "PURGE", cache.purge_port, Purge_All="yes").status == 403


def test_what_is_stored_outlives_the_api_and_the_rest_is_a_problem(
    api: tuple[int, "subprocess.Popen[bytes]"], start_cache: StartCache
) -> None:
    cache = start_cache(api[0])
    stored = cache.ask(CLOSED)
    assert cache.purge(Purge_All="yes") == 1
    api[1].kill()
    api[1].wait()
    for _ in range(3):
        answer = cache.ask(CLOSED)
        assert (answer.status, answer.headers["x-cache"], answer.body) == (200, "stale", stored.body)
        time.sleep(5.5)  # Beyond the ten seconds for which a stale answer is given anyway.
    missing = cache.ask("/air_quality?limit=7")
    problem = json.loads(missing.body)
    assert (missing.status, missing.headers["retry-after"]) == (503, "5")
    assert problem["type"] == "/docs#api-unavailable"
    assert problem["request_id"] == missing.headers["x-request-id"]


ACCEPTS = (
    "*/*",
    "application/json",
    "text/csv",
    "application/x-ndjson",
    "application/jsonl",
    "text/*",
    "application/*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "application/json, text/plain, */*",
    "text/csv;q=0.9, application/json;q=0.1",
    "application/json;q=0.1, */*;q=0.9",
    "text/csv, application/json",
    "application/ndjson;q=1.0, text/csv;q=0.99",
    "*/*;q=0",
    "image/png",
    "application/json;q=0, */*",
    "",
    "nonsense",
    "text/csv;q=0.5, text/csv",
    "application/json;q=x",
    "TEXT/CSV; header=present",
    "*/*;q=0.1, */*",
    "text/csv;q=2",
)
QUERIES = (
    "station=aq_salvia&station=aq_jaen",
    "station=aq_jaen&station=aq_salvia&station=aq_jaen",
    "pollutant=o3&pollutant=no2",
    "limit=1&order=desc",
    "order=desc&limit=1&limit=2",
    "from=2016-10-01T02:00:00+02:00",
    "to=2016-11-01T00%3a00%3A00Z",
    "station=aq%5Fsalvia",
    "station=aq_%73alvia",
    "station=",
    "station",
    "=",
    "&",
    "limit=%31",
    "limit=1%",
    "?limit=1",
    "station=aq+salvia",
    "station=aq%20salvia",
    "utm_x=1",
    "utm_=1",
    "utm%5Fx=1",
    "gclid",
    "xgclid=1",
    "gclidx=1",
    "station=a%00b",
    "station=%ff",
    "format=csv&limit=1",
    "format=csv",
    "format=xml",
    "LIMIT=1",
    "limit=1;order=desc",
    "from=2016-10-01&to=2016-10-01",
    "cursor=xyz",
    "limit=1&&&order=asc&",
    "a=b",
)
"""Spellings of all kinds, good ones and faults."""


def test_the_cache_changes_no_answer_of_the_api(api: tuple[int, object], start_cache: StartCache) -> None:
    cache = start_cache(api[0])
    asked = [("/air_quality?limit=1", accept) for accept in ACCEPTS]
    asked += [
        (f"{path}?{query}", "*/*") for path in ("/air_quality", "/air_quality/latest") for query in QUERIES
    ]
    asked += [
        (path, "*/*")
        for path in ("/", "/stations", "/stations/aq_salvia", "/stations/aq_%73alvia", "/stations/x")
    ]
    asked += [(path, "text/csv") for path in ("/pollutants", "/stations", "/openapi.json")]
    for target, accept in asked:
        direct = cache.ask(target, port=api[0], Accept=accept)
        for _ in range(2):
            through = cache.ask(target, Accept=accept)
            assert through.status == direct.status, (target, accept, through.body)
            for name in ("content-type", "etag", "link", "cache-control", "location", "allow"):
                assert through.headers.get(name) == direct.headers.get(name), (target, accept, name)
            if direct.status == 200:
                assert through.body == direct.body, (target, accept)
            else:
                assert without_id(through.body) == without_id(direct.body), (target, accept)


def test_bytes_beyond_ascii_are_refused_so_that_the_log_is_json(
    api: tuple[int, object], start_cache: StartCache
) -> None:
    cache = start_cache(api[0])
    for target in ("/air_quality?station=ñ".encode(), b"/stations/\xff"):
        with socket.create_connection(("127.0.0.1", cache.port), 10) as connection:
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 "), head
        assert "%C3%A9vora" in json.loads(body)["detail"]
    assert cache.ask("/stations/%C3%B1").status == 404
    wait_for(lambda: cache.lines()[-1]["target"] == "/stations/%C3%B1", cache)


def without_id(body: bytes) -> object:
    """Return a problem without what differs in each."""
    return {**json.loads(body), "request_id": ""} if body else body
