"""What operators see: a line for each request, and metrics that stay few."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import Database, airq_environment
from tests.integration.api import listing
from tests.integration.api.conftest import Serve, load
from tests.integration.api.listing import Row
from tests.integration.api.process import START_SECONDS, Api
from tests.ports import free_port


def test_each_request_is_one_json_line_with_the_promised_fields(api: Api) -> None:
    asked = "/air_quality?station=%C3%A9vora&limit=3"
    answer = api.get(asked, {"X-Request-ID": "logged-1"})
    event = api.request_event("logged-1")
    assert list(event) == [
        "timestamp", "level", "event", "method", "route", "target", "status", "duration_seconds", "rows",
        "size", "request_id",
    ]  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event["timestamp"])
    assert (event["level"], event["method"], event["route"]) == ("info", "GET", "/air_quality")
    assert event["target"] == "/air_quality?station=évora&limit=3"
    assert (event["status"], event["rows"], event["size"]) == (200, 3, len(answer.body))
    assert 0 < event["duration_seconds"] < 5
    assert len([e for e in api.events("request_finished") if e["request_id"] == "logged-1"]) == 1


@pytest.mark.parametrize(
    ("target", "method", "status", "route", "shown", "error"),
    [
        ("/stations/aq%20plain", "GET", 200, "/stations/{station}", 0, None),
        ("/stations/nobody", "GET", 404, "/stations/{station}", 0, "unknown-station"),
        ("/air_quality?limit=0", "GET", 400, "/air_quality", 0, "invalid-parameter"),
        ("/air_quality?limit=5", "HEAD", 200, "/air_quality", 0, None),
        ("/air_quality?format=csv&station=Zulu", "GET", 200, "/air_quality", 11, None),
        ("/air_quality/latest?station=Zulu", "GET", 200, "/air_quality/latest", 1, None),
        ("/wp-login.php", "GET", 404, "unmatched", 0, "not-found"),
        ("/air_quality", "POST", 405, "/air_quality", 0, "method-not-allowed"),
        ("/air_quality", "BREW", 405, "/air_quality", 0, "method-not-allowed"),
        ("/livez?x=%0A%1b%5B31m", "GET", 400, "/livez", 0, "unknown-parameter"),
    ],
)
def test_a_request_is_logged_by_its_route(
    api: Api, target: str, method: str, status: int, route: str, shown: int, error: str | None
) -> None:
    request_id = f"by-route-{abs(hash((target, method)))}"
    answer = api.get(target, {"X-Request-ID": request_id}, method=method)
    event = api.request_event(request_id)
    assert (event["status"], event["route"], event["rows"]) == (status, route, shown)
    assert event.get("error") == error
    assert event["method"] == ("other" if method == "BREW" else method)
    assert event["size"] == len(answer.body)


def test_the_logged_size_is_what_was_sent(api: Api) -> None:
    answer = api.get("/air_quality", {"Accept-Encoding": "gzip", "X-Request-ID": "compressed-1"})
    assert answer.headers["content-encoding"] == "gzip"
    assert api.request_event("compressed-1")["size"] == len(answer.body)


def requests_counted(metrics: dict[str, float], **labels: str) -> float:
    """Return how many requests were counted under labels."""
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return metrics.get(f"airq_http_requests_total{{{text}}}", 0)


def test_requests_are_counted_by_the_templates_of_their_routes(api: Api) -> None:
    before = api.metrics()
    api.get("/stations/Zulu")
    api.get("/stations/aq%20plain")
    api.get("/air_quality?limit=7")
    after = api.metrics()
    labels = {"method": "GET", "route": "/stations/{station}", "status": "200"}
    assert requests_counted(after, **labels) - requests_counted(before, **labels) == 2
    rows = 'airq_rows_served_total{route="/air_quality"}'
    assert after[rows] - before.get(rows, 0) == 7
    durations = 'airq_http_request_duration_seconds_count{method="GET",route="/air_quality"}'
    assert after[durations] - before.get(durations, 0) == 1
    size = 'airq_http_response_bytes_total{route="/air_quality"}'
    assert after[size] > before.get(size, 0)


def test_a_storm_of_unknown_paths_and_methods_adds_no_labels(api: Api) -> None:
    def unknown(number: int) -> None:
        api.get(f"/nothing/{number}")
        api.get(f"/stations/unknown-{number}")
        api.get(f"/air_quality?limit=x{number}")
        api.get("/air_quality", method=f"ODD{number}")

    unknown(0)
    before = api.metrics()
    for number in range(1, 30):
        unknown(number)
    after = api.metrics()
    assert after.keys() == before.keys()
    labels = {"method": "GET", "route": "unmatched", "status": "404"}
    assert requests_counted(after, **labels) - requests_counted(before, **labels) == 29


def test_metrics_tell_the_state_of_pool_and_data(api: Api, rows: list[Row]) -> None:
    metrics = api.metrics()
    assert metrics["airq_pool_limit"] == 10
    assert metrics['airq_pool_connections{state="idle"}'] >= 1
    assert metrics['airq_pool_connections{state="used"}'] == 0
    assert metrics["airq_measurements"] == len(rows)
    assert metrics["airq_stations"] == len({row.station for row in rows})
    age = datetime.now(UTC) - rows[-1].at
    assert metrics["airq_newest_measurement_age_seconds"] == pytest.approx(age.total_seconds(), abs=30)
    assert metrics['airq_loads_total{outcome="loaded"}'] == 1
    assert metrics['airq_loads_total{outcome="refused"}'] == 0
    assert metrics["airq_last_load_timestamp_seconds"] == pytest.approx(time.time(), abs=3600)
    assert metrics["airq_database_up"] == 1
    assert any(name.startswith("airq_info{version=") for name in metrics)


def test_metrics_live_on_a_port_of_their_own(api: Api) -> None:
    assert api.get("/metrics").status == 404


def test_people_get_lines_of_their_own_and_clients_can_not_forge_them(
    serve: Serve, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "row.csv"
    listing.write_csv([Row(datetime(2020, 1, 1, tzinfo=UTC), "a", (1.0,) * 6)], path)
    load(database, path)
    with serve(database, AIRQ_LOG_FORMAT="text", AIRQ_SPELLING_MISTAKE="1") as api:
        api.get("/air_quality?station=%0Aforged%0D%1B%5B31m%C2%9B31m%E2%80%A8")
        api.get("/air_quality", {"X-Request-ID": "the-last-one"})
        lines = api.lines_until("the-last-one")
    requests = [line for line in lines if "request finished" in line]
    assert len(requests) == 2
    assert all("route=/air_quality" in line and "status=" in line for line in requests)
    assert "\\nforged\\r\\x1b[31m\\x9b31m\\u2028" in requests[0]
    assert not any(line.startswith("forged") for line in lines)
    assert any("AIRQ_SPELLING_MISTAKE" in line for line in lines)
    assert "\x1b" not in "".join(lines)
    with pytest.raises(json.JSONDecodeError):
        json.loads(requests[0])


def test_logs_that_nobody_reads_cost_nothing_but_their_lines(database: Database) -> None:
    port, metrics_port = free_port(), free_port()
    settings = {
        "AIRQ_PORT": str(port), "AIRQ_METRICS_PORT": str(metrics_port), "AIRQ_DRAIN_SECONDS": "3",
        "AIRQ_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "",
    }  # fmt: skip
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "airq", "serve"],
        env=airq_environment(database) | settings,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writer)
        api = Api(process, port, metrics_port)
        try:
            wait_until_answered(api)
            for _ in range(3):
                assert api.get("/pollutants").status == 200
            deadline = time.monotonic() + 5
            while requests_counted(api.metrics(), method="GET", route="/pollutants", status="200") < 3:
                assert time.monotonic() < deadline, "requests are not counted"
                time.sleep(0.02)
            assert api.metrics()["airq_log_lines_lost_total"] > 3
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 5
            while (answer := api.get("/readyz")).status != 503:
                assert time.monotonic() < deadline
            assert answer.kind == "draining"
            assert process.wait(10) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        said = process.stderr.read()
    assert "Traceback" not in said
    assert "Exception" not in said


def wait_until_answered(api: Api) -> None:
    """Wait until a process answers whose log can't tell when it has started."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            api.get("/livez")
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_operators_choose_which_requests_are_logged(serve: Serve, database: Database) -> None:
    database.execute("DROP TABLE airq.alembic_version")
    with serve(database, AIRQ_LOG_REQUESTS="errors") as api:
        assert api.get("/livez").status == 200
        assert api.get("/nothing").status == 404
        assert api.get("/readyz", {"X-Request-ID": "the-last-one"}).status == 503
        api.request_event("the-last-one")
        assert [event["route"] for event in api.events("request_finished")] == ["/readyz"]
        metrics = api.metrics()
        assert requests_counted(metrics, method="GET", route="/livez", status="200") == 1
