"""The API process, put together: store, telemetry, metrics and server."""

import asyncio
import gc
import sys
import time

from airq import __version__
from airq.api.application import make_application
from airq.api.caching import cache_control
from airq.api.routes import Service
from airq.api.server import Listener, address_of, serve, url_of
from airq.config import Settings
from airq.store.connections import DatabaseUnavailable
from airq.store.measurements import Measurements
from airq.store.summaries import Freshness
from airq.telemetry.events import ServiceStarted, SettingUnknown, Telemetry
from airq.telemetry.logs import log_observer
from airq.telemetry.metrics import Metrics, StoreState

STORE_TIMEOUT_SECONDS = 3.0


async def run_service(settings: Settings, url: str) -> None:
    """Serve the API and its metrics until the process is asked to stop.

    Raises:
        SystemExit: on the second signal, so that only clean-up of what would outlive the process, such
            as a PostgreSQL of its own, is still done.
    """
    try:
        await _run(settings, url)
    except asyncio.CancelledError as hurry:
        if not hurry.args:
            # It came before `serve` listened to signals, and asyncio makes a KeyboardInterrupt of it.
            raise
        sys.exit(128 + hurry.args[0])


async def _run(settings: Settings, url: str) -> None:
    loop = asyncio.get_running_loop()
    store = Measurements(url, settings.pool_size, settings.statement_timeout_seconds)

    async def read_freshness() -> Freshness:
        try:
            data = await store.freshness()
        except DatabaseUnavailable as error:
            service.database_failed(str(error))
            raise
        service.database_answered()
        return data

    def read_store() -> StoreState:
        """Ask the store from the metrics' own thread."""
        pool_open, pool_idle = store.pool_state
        pool = (pool_open, pool_idle, settings.pool_size)
        asked = asyncio.run_coroutine_threadsafe(read_freshness(), loop)
        try:
            data = asked.result(STORE_TIMEOUT_SECONDS)
        except Exception:
            # Whatever ails the database, the metrics of the process itself are wanted all the more.
            asked.cancel()
            return StoreState(*pool)
        return StoreState(
            *pool,
            newest=None if data.newest is None else data.newest / 1000,
            measurements=data.measurements,
            stations=data.stations,
            loads=data.loads,
            last_load=None if data.last_load is None else data.last_load / 1000,
        )

    metrics = Metrics(__version__, read_store, time.time)
    telemetry = Telemetry(
        log_observer(sys.stdout, settings.log_format, settings.log_requests, metrics.count_lost_line),
        metrics.observer(),
    )
    for name in settings.unknown:
        telemetry.emit(SettingUnknown(name))
    service = Service(
        store, telemetry, cache_control(settings.max_age_seconds, settings.shared_max_age_seconds)
    )
    listener = Listener(settings.host, settings.port, settings.drain_seconds, settings.shutdown_seconds)
    url_of_metrics = f"{url_of(settings.host, settings.metrics_port)}/metrics"
    await store.open()
    # What is there by now stays for good: looking through it again and again would slow requests down.
    gc.collect()
    gc.freeze()
    stop_metrics = metrics.serve(address_of(settings.host), settings.metrics_port)
    try:
        await serve(
            make_application(service),
            service,
            listener,
            lambda: telemetry.emit(
                ServiceStarted(__version__, url_of(settings.host, settings.port), url_of_metrics)
            ),
        )
    finally:
        await asyncio.to_thread(stop_metrics)
        await store.close()
