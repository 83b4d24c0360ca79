"""Events and the state of the store → Prometheus metrics on a port of their own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from airq.domain.errors import ConfigurationError
from airq.telemetry.events import DatabaseFound, DatabaseLost, Event, Observer, RequestFinished

DURATION_BUCKETS_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    60,
)


@dataclass(frozen=True)
class StoreState:
    """What is read of the store when metrics are collected; times in seconds since 1970.

    Args:
        pool_open, pool_idle, pool_limit: connections.
        newest: time of the newest measurement; None without any, or without a database.
        loads: outcome → number of loads; None without a database.
    """

    pool_open: int
    pool_idle: int
    pool_limit: int
    newest: float | None = None
    measurements: int | None = None
    stations: int | None = None
    loads: dict[str, int] | None = None
    last_load: float | None = None


class _StoreCollector(Collector):
    def __init__(self, read: Callable[[], StoreState], now: Callable[[], float]) -> None:
        self._read, self._now = read, now

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        state = self._read()
        pool = GaugeMetricFamily(
            "airq_pool_connections",
            "Database connections of this process by state; open ones are idle or used.",
            labels=["state"],
        )
        pool.add_metric(["idle"], state.pool_idle)
        pool.add_metric(["used"], state.pool_open - state.pool_idle)
        yield pool
        yield GaugeMetricFamily(
            "airq_pool_limit", "Most database connections of this process.", state.pool_limit
        )
        if state.newest is not None:
            yield GaugeMetricFamily(
                "airq_newest_measurement_age_seconds",
                "Time since the newest measurement.",
                self._now() - state.newest,
            )
        if state.measurements is not None:
            yield GaugeMetricFamily("airq_measurements", "Measurements in the database.", state.measurements)
        if state.stations is not None:
            yield GaugeMetricFamily("airq_stations", "Stations in the database.", state.stations)
        if state.last_load is not None:
            yield GaugeMetricFamily(
                "airq_last_load_timestamp_seconds",
                "When the last load ended that went through, whether it changed anything or not.",
                state.last_load,
            )
        if state.loads is not None:
            loads = CounterMetricFamily(
                "airq_loads", "Loads and undos in the ledger that have ended, by outcome.", labels=["outcome"]
            )
            for outcome in ("loaded", "unchanged", "refused", "failed", "interrupted"):
                loads.add_metric([outcome], state.loads.get(outcome, 0))
            yield loads
            yield GaugeMetricFamily(
                "airq_loads_running", "Loads and undos that are under way.", state.loads.get("running", 0)
            )


class Metrics:
    """The metrics of one API process.

    Args:
        version: of airq, shown as a label.
        read_store: asked at each collection.
        now: the time in seconds since 1970.
    """

    def __init__(self, version: str, read_store: Callable[[], StoreState], now: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
            self.registry.register(collector)
        self.registry.register(_StoreCollector(read_store, now))
        info = Gauge("airq_info", "The running version.", ["version"], registry=self.registry)
        info.labels(version).set(1)
        self._requests = Counter(
            "airq_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "airq_http_request_duration_seconds",
            "From a request's first byte to the last byte of its answer.",
            ["method", "route"],
            buckets=DURATION_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._rows = Counter(
            "airq_rows_served", "Measurements in answers.", ["route"], registry=self.registry
        )
        self._bytes = Counter(
            "airq_http_response_bytes",
            "Bytes of answers' bodies as they were sent, compressed or not.",
            ["route"],
            registry=self.registry,
        )
        self._database = Gauge(
            "airq_database_up",
            "1 while the database answers, 0 since it was lost.",
            registry=self.registry,
        )
        self._database.set(1)
        self._lost_lines = Counter(
            "airq_log_lines_lost", "Log lines that could not be written.", registry=self.registry
        )

    def count_lost_line(self) -> None:
        """Count a log line that could not be written."""
        self._lost_lines.inc()

    def observer(self) -> Observer:
        """Return the observer that counts events."""

        def observe(event: Event) -> None:
            if isinstance(event, RequestFinished):
                self._requests.labels(event.method, event.route, str(event.status)).inc()
                self._durations.labels(event.method, event.route).observe(event.duration_seconds)
                self._rows.labels(event.route).inc(event.rows)
                self._bytes.labels(event.route).inc(event.size)
            elif isinstance(event, DatabaseLost):
                self._database.set(0)
            elif isinstance(event, DatabaseFound):
                self._database.set(1)

        return observe

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Serve `/metrics` in a thread of its own; return what ends it.

        Raises:
            ConfigurationError: the port can't be had.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise ConfigurationError(
                f"metrics can't listen on {host}:{port} ({error.strerror}); "
                "choose another port with AIRQ_METRICS_PORT"
            ) from None

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop
