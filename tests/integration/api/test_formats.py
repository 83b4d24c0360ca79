"""CSV and NDJSON hold what JSON holds, whole or in pages, and a client can tell an incomplete answer."""

import csv
import gzip
import http.client
import io
import json
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.integration.api import listing
from tests.integration.api.conftest import BIG, load, undo
from tests.integration.api.listing import POLLUTANTS, Row
from tests.integration.api.process import Answer, Api

EXPORTS = "/air_quality?format=csv"
ENDS_WITHIN_SECONDS = 10


def cells(body: bytes) -> list[list[str]]:
    """Read a CSV body."""
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


def as_cells(row: Row) -> list[str | float | None]:
    """Return a row as a reader of CSV sees it, its values as numbers."""
    return [listing.spelled(row.at), row.station, *row.values]


def numbers(line: list[str]) -> list[str | float | None]:
    """Read a CSV line's values."""
    return [*line[:2], *(float(cell) if cell else None for cell in line[2:])]


def test_csv_holds_the_same_rows_and_survives_any_name(api: Api, rows: list[Row]) -> None:
    answer = api.get(EXPORTS)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'inline; filename="air_quality.csv"'
    header, *lines = cells(answer.body)
    assert header == ["timestamp", "station", *POLLUTANTS]
    assert [numbers(line) for line in lines] == [as_cells(row) for row in rows]
    assert answer.body.endswith(b"\r\n")


def test_ndjson_holds_the_same_rows(api: Api, rows: list[Row]) -> None:
    answer = api.get("/air_quality?format=ndjson")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.body.splitlines()] == [row.shown() for row in rows]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("filters", ["", "&station=Zulu&station=%F0%9F%98%80", "&order=desc&pollutant=o3"])
def test_an_export_is_what_its_pages_are_together(api: Api, form: str, filters: str) -> None:
    whole = api.get(f"/air_quality?format={form}{filters}").body
    head = whole[: whole.index(b"\r\n") + 2] if form == "csv" else b""
    target: str | None = f"/air_quality?format={form}{filters}&limit=7"
    parts = []
    while target:
        page = api.get(target)
        assert page.body.startswith(head)
        parts.append(page.body[len(head) :])
        target = (page.headers["link"] or "").partition("<")[2].partition(">")[0]
    assert len(parts) > 1
    assert head + b"".join(parts) == whole


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_latest_has_the_same_formats(api: Api, form: str) -> None:
    data = api.get("/air_quality/latest").json()["data"]
    body = api.get(f"/air_quality/latest?format={form}").body
    if form == "ndjson":
        assert [json.loads(line) for line in body.splitlines()] == data
    else:
        assert [line[1] for line in cells(body)[1:]] == [row["station"] for row in data]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/csv", "text/csv"),
        ("Text/CSV", "text/csv"),
        ("text/*", "text/csv"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/jsonl", "application/x-ndjson"),
        ("application/*", "application/json"),
        ("application/json;q=0.5, text/csv;q=0.6", "text/csv"),
        ("application/json; q=0.5 , text/csv ;q=0.4", "application/json"),
        ("*/*;q=0.1, application/x-ndjson;q=0.2", "application/x-ndjson"),
        ("application/json;q=0, */*", "text/csv"),
        ("application/json;charset=utf-8", "application/json"),
        ("text/csv;header=present;q=1.0, application/json;q=0.999", "text/csv"),
        ("application/problem+json, application/json", "application/json"),
    ],
)
def test_the_accept_header_chooses_the_format(api: Api, accept: str, media: str) -> None:
    answer = api.get("/air_quality?limit=1", {"Accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"].partition(";")[0] == media
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/json;q=0", "*/*;q=0", "image/png, text/plain;q=0.5", "text/csv;q=nan", "json"],
)
@pytest.mark.parametrize("path", ["/air_quality", "/air_quality/latest"])
def test_what_nobody_offers_is_refused_and_told(api: Api, path: str, accept: str) -> None:
    answer = api.get(path, {"Accept": accept})
    assert (answer.status, answer.kind) == (406, "not-acceptable")
    assert answer.json()["allowed"] == ["application/json", "text/csv", "application/x-ndjson"]
    assert api.get(f"{path}?format=csv", {"Accept": accept}).status == 200


@pytest.mark.parametrize("path", ["/stations", "/stations/Zulu", "/pollutants"])
def test_lists_of_few_things_are_json_alone(api: Api, path: str) -> None:
    assert api.get(path, {"Accept": "text/csv, */*;q=0.1"}).json()
    assert api.get(path, {"Accept": "text/csv"}).kind == "not-acceptable"


HEADER = f"timestamp,station,{','.join(POLLUTANTS)}\r\n".encode()


def start_export(api: Api) -> http.client.HTTPResponse:
    """Begin an export and read its first line."""
    connection = api.connect(timeout=ENDS_WITHIN_SECONDS)
    connection.request("GET", EXPORTS, headers={"Connection": "close"})
    response = connection.getresponse()
    assert response.read(len(HEADER)) == HEADER
    return response


def test_an_export_is_one_snapshot_while_a_load_commits(
    big_api: Api, big_database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "late.csv"
    last = big_api.rows("/air_quality?order=desc&limit=1")[0]["timestamp"]
    listing.write_csv([Row(listing.read_time(last), "late", (1.0,) * 6)], path)
    running = start_export(big_api)
    number = load(big_database, path)
    try:
        assert len(big_api.rows("/air_quality?station=late")) == 1
        rest = running.read()
        assert rest.count(b"\r\n") == BIG.rows
        assert b"late" not in rest
        assert big_api.get(EXPORTS).body.count(b"late") == 1
    finally:
        undo(big_database, number)


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_an_export_that_breaks_is_seen_to_be_incomplete(
    big_api: Api, big_database: Database, coding: str
) -> None:
    connection = big_api.connect(timeout=ENDS_WITHIN_SECONDS)
    connection.request(
        "GET", EXPORTS, headers={"Accept-Encoding": coding, "X-Request-ID": f"broken-{coding}"}
    )
    response = connection.getresponse()
    assert response.status == 200
    response.read(1000)
    ended = big_database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'airq serve' AND datname = current_database() AND xact_start IS NOT NULL"
    )
    assert ended == [(True,)]
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    response.close()
    connection.close()
    event = big_api.request_event(f"broken-{coding}")
    assert event["error"] == "database-unavailable"
    assert 0 < event["rows"] < BIG.rows


def connections_used(api: Api) -> float:
    """Return how many of its database connections an API process uses."""
    return api.metrics()['airq_pool_connections{state="used"}']


def wait_until_unused(api: Api) -> None:
    """Wait until an API process has given all its connections back."""
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    while connections_used(api) > 0:
        assert time.monotonic() < deadline, "a connection was never given back"
        time.sleep(0.05)


def test_a_client_that_goes_away_gives_its_connection_back(big_api: Api) -> None:
    for _ in range(6):
        start_export(big_api).close()
    wait_until_unused(big_api)
    assert big_api.get("/air_quality?limit=1").status == 200
    gone = [event for event in big_api.events("request_finished") if event.get("error") == "client-gone"]
    assert gone
    assert all(event["rows"] < BIG.rows for event in gone)


def test_slow_clients_hold_up_nobody_else(big_api: Api) -> None:
    # Four connections, of which exports may have two: further ones are refused after a while.
    slow = [start_export(big_api) for _ in range(2)]
    refused: list[Answer] = []
    lost = len(big_api.events("database_lost"))
    third = threading.Thread(target=lambda: refused.append(big_api.get(EXPORTS)))
    third.start()
    for _ in range(20):
        began = time.monotonic()
        assert big_api.get("/air_quality?limit=10").status == 200
        assert big_api.get("/readyz").status == 200
        assert time.monotonic() - began < 2
    third.join()
    assert (refused[0].status, refused[0].kind) == (503, "too-busy")
    assert refused[0].headers["retry-after"] == "5"
    for export in slow:
        assert export.read().count(b"\r\n") == BIG.rows
        export.close()
    wait_until_unused(big_api)
    assert big_api.get(EXPORTS).body.count(b"\r\n") == BIG.rows + 1
    assert len(big_api.events("database_lost")) == lost


def test_an_export_may_be_compressed_on_its_way(big_api: Api) -> None:
    target = f"{EXPORTS}&order=desc&pollutant=no2&to=2025-01-05"
    answer = big_api.get(target, {"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == big_api.get(target).body
    assert big_api.get(target).body.count(b"\r\n") == 4 * 96 * 40 + 1


@pytest.mark.parametrize(
    "target",
    [
        "/air_quality?limit=1", "/air_quality?format=csv", "/air_quality?format=csv&limit=1",
        "/air_quality/latest?format=csv", "/stations", "/stations/Zulu", "/pollutants", "/livez",
        "/openapi.json", "/docs", "/",
    ],
)  # fmt: skip
def test_the_document_has_the_headers_of_every_answer(api: Api, target: str) -> None:
    answer = api.get(target)
    path = target.partition("?")[0].replace("Zulu", "{station}")
    paths = api.get("/openapi.json").json()["paths"]
    described = paths[path]["get"]["responses"][str(answer.status)]["headers"]
    ours = {"ETag", "Cache-Tag", "Link", "Content-Disposition", "Location", "X-Request-ID"}
    assert {name for name in ours if name in answer.headers} <= set(described)
    assert {name for name, header in described.items() if header["required"]} <= {
        name for name in described if name in answer.headers
    }
