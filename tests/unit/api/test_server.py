"""The API's process, without a store behind it."""

import asyncio
import socket
from typing import cast

import pytest

from airq.api.envelope import Envelope
from airq.api.routes import Service
from airq.api.server import Listener, serve
from airq.domain.errors import ConfigurationError
from airq.telemetry.events import Telemetry


def test_a_port_that_another_program_took_meanwhile_is_not_called_ours() -> None:
    started: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        envelope = Envelope(cast("Envelope", None), Telemetry(), print)
        listener = Listener("127.0.0.1", port, drain_seconds=0, shutdown_seconds=0)

        async def try_to_serve() -> None:
            await serve(envelope, cast("Service", None), listener, lambda: started.append(True))

        with pytest.raises(ConfigurationError, match=rf"http://127\.0\.0\.1:{port}.*in use") as caught:
            asyncio.run(try_to_serve())
    assert "\n" not in str(caught.value)
    assert not started
