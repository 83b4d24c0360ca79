"""Events and the store's state as Prometheus metrics."""

import socket

import pytest
from prometheus_client import generate_latest

from airq.domain.errors import ConfigurationError
from airq.telemetry.events import DatabaseFound, DatabaseLost
from airq.telemetry.metrics import Metrics, StoreState
from tests.unit.telemetry.requests import finished


def samples(metrics: Metrics) -> dict[str, float]:
    """Return each sample: name with labels → value."""
    text = generate_latest(metrics.registry).decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def make(state: StoreState | None = None) -> Metrics:
    """Return metrics at the time 1000."""
    return Metrics("1.2.3", lambda: state or StoreState(3, 2, 10), lambda: 1000.0)


def test_requests_are_counted_by_method_route_and_status() -> None:
    metrics = make()
    observe = metrics.observer()
    for event in (finished(), finished(target="/other", request_id="x"), finished(status=404, rows=0)):
        observe(event)
    found = samples(metrics)
    assert found['airq_http_requests_total{method="GET",route="/air_quality",status="200"}'] == 2
    assert found['airq_http_requests_total{method="GET",route="/air_quality",status="404"}'] == 1
    assert found['airq_rows_served_total{route="/air_quality"}'] == 10
    assert found['airq_http_response_bytes_total{route="/air_quality"}'] == 297
    duration = "airq_http_request_duration_seconds"
    assert found[f'{duration}_bucket{{le="0.01",method="GET",route="/air_quality"}}'] == 0
    assert found[f'{duration}_bucket{{le="0.025",method="GET",route="/air_quality"}}'] == 3


def test_the_database_is_up_until_it_is_lost_and_again_when_it_is_found() -> None:
    metrics = make()
    observe = metrics.observer()
    assert samples(metrics)["airq_database_up"] == 1
    observe(DatabaseLost("gone"))
    assert samples(metrics)["airq_database_up"] == 0
    observe(DatabaseFound(3.0))
    assert samples(metrics)["airq_database_up"] == 1


def test_log_lines_that_could_not_be_written_are_counted() -> None:
    metrics = make()
    assert samples(metrics)["airq_log_lines_lost_total"] == 0
    metrics.count_lost_line()
    assert samples(metrics)["airq_log_lines_lost_total"] == 1


def test_the_state_of_pool_and_data_is_told() -> None:
    found = samples(
        make(StoreState(3, 2, 10, 400.0, 960, 10, {"loaded": 2, "refused": 1, "running": 1}, 700.0)),
    )
    assert found['airq_pool_connections{state="idle"}'] == 2
    assert found['airq_pool_connections{state="used"}'] == 1
    assert found["airq_pool_limit"] == 10
    assert found["airq_newest_measurement_age_seconds"] == 600
    assert (found["airq_measurements"], found["airq_stations"]) == (960, 10)
    assert found['airq_loads_total{outcome="loaded"}'] == 2
    assert found['airq_loads_total{outcome="refused"}'] == 1
    assert found['airq_loads_total{outcome="failed"}'] == 0
    # It falls when the load ends, and a counter never falls.
    assert found["airq_loads_running"] == 1
    assert 'airq_loads_total{outcome="running"}' not in found
    assert found["airq_last_load_timestamp_seconds"] == 700
    assert found['airq_info{version="1.2.3"}'] == 1


def test_without_a_database_only_the_process_is_told_of() -> None:
    found = samples(make(StoreState(0, 0, 10)))
    assert found["airq_pool_limit"] == 10
    assert not any(name.startswith(("airq_measurements", "airq_newest", "airq_loads")) for name in found)


def test_a_taken_port_is_told_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="AIRQ_METRICS_PORT"):
            make().serve("127.0.0.1", taken.getsockname()[1])
