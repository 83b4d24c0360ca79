"""The API's process: listens, and stops without losing a request."""

import asyncio
import errno
import os
import signal
import socket
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from airq.api.envelope import Envelope
from airq.api.routes import Service
from airq.domain.errors import ConfigurationError
from airq.telemetry.events import ServiceDraining, ServiceStopped

BACKLOG = 1024


@dataclass(frozen=True)
class Listener:
    """Where to listen and how to stop.

    Args:
        drain_seconds: how long readiness fails, and requests are still taken, before the port closes.
        shutdown_seconds: how long running requests may take to finish behind that.
    """

    host: str
    port: int
    drain_seconds: float
    shutdown_seconds: float


def check_port(host: str, port: int, variable: str) -> None:
    """Refuse a port that can't be had, before any long work begins.

    Raises:
        ConfigurationError: another program listens there, or the address is none of this machine's.
    """
    try:
        address = address_of(host)
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen(1)
    except OSError as error:
        ours = error.errno in (errno.EADDRINUSE, errno.EACCES)
        advice = f"choose another port with {variable}" if ours else "name one of its own with AIRQ_HOST"
        raise ConfigurationError(
            f"this machine can't listen on {host}:{port}: {(error.strerror or str(error)).lower()}; {advice}"
        ) from None


def address_of(host: str) -> str:
    """Return the address to listen on for a host's name; `*` is every address that this machine has."""
    if host == "*":
        return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return str(found[0][4][0])


def url_of(host: str, port: int) -> str:
    """Return where a browser on this machine finds what listens on a host."""
    address = _from_here(host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _from_here(host: str) -> str:
    return {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


async def serve(
    application: Envelope, service: Service, listener: Listener, on_started: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal cancels the task that serves.

    Readiness fails first, so that whoever sends requests looks elsewhere; the port closes when that
    has had its time; the requests that run by then finish.

    Raises:
        CancelledError: on the second signal, with its number, wherever the task is by then, also behind
            this function. A third one does not wait for any clean-up.
    """
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[str] = loop.create_future()
    this_task = asyncio.current_task()
    assert this_task is not None

    def on_signal(received: signal.Signals) -> None:
        if not asked.done():
            asked.set_result(received.name)
        elif this_task.cancelling():
            os._exit(128 + received)
        else:
            this_task.cancel(received)

    for received in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(received, on_signal, received)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = Server(
            application,
            address=address_of(listener.host),
            port=listener.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            log_enabled=False,
        )
    serving = asyncio.create_task(server.serve())
    await _listening(listener, serving)
    on_started()
    await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
    if not asked.done():
        await serving
        raise ConfigurationError(f"the server on {url_of(listener.host, listener.port)} ended by itself")
    await _drain(application, service, listener, server, serving, asked.result())


async def _drain(
    application: Envelope,
    service: Service,
    listener: Listener,
    server: Server,
    serving: "asyncio.Task[None]",
    signal_name: str,
) -> None:
    service.draining = application.closing = True
    service.telemetry.emit(ServiceDraining(signal_name, listener.drain_seconds))
    await asyncio.sleep(listener.drain_seconds)
    server.stop()  # type: ignore[no-untyped-call]
    deadline = asyncio.get_running_loop().time() + listener.shutdown_seconds
    with suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            while application.running:  # noqa: ASYNC110 polled so that counting stays plain
                await asyncio.sleep(0.02)
    with suppress(TimeoutError):
        await asyncio.wait_for(serving, 1)
    service.telemetry.emit(ServiceStopped(application.running))


async def _listening(listener: Listener, serving: "asyncio.Task[None]") -> None:
    """Wait until the port answers.

    Raises:
        ConfigurationError: the server has ended, or does not answer.
    """
    url = url_of(listener.host, listener.port)
    for _ in range(500):
        answers = await _answers(_from_here(listener.host), listener.port)
        if serving.done():
            # Whoever answers is another program, which took the port after it was checked.
            reason = str(serving.exception() or "it ended by itself").partition("\n")[0]
            raise ConfigurationError(f"the server on {url} did not start: {reason}")
        if answers:
            return
        await asyncio.sleep(0.02)
    raise ConfigurationError(f"{url} does not answer after 10 s")


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
