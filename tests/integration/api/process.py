"""A real API process, and a client that sends it exactly what a test says."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.ports import free_port

START_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return the body, which must be JSON."""
        assert "json" in self.headers["content-type"], self.headers["content-type"]
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """Return the problem's name, for instance `invalid-parameter`."""
        assert self.headers["content-type"] == "application/problem+json"
        kind: str = self.json()["type"]
        return kind.removeprefix("/docs#")


@dataclass
class Api:
    """A running API process."""

    process: subprocess.Popen[str]
    port: int
    metrics_port: int
    lines: list[str] = field(default_factory=list)
    """What it wrote to its standard output so far."""

    def connect(self, timeout: float = 30) -> http.client.HTTPConnection:
        """Return a connection to the API."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def get(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        timeout: float = 30,
    ) -> Answer:
        """Send a request on a connection of its own and read the answer to its end."""
        connection = self.connect(timeout)
        try:
            connection.request(method, target, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def rows(self, target: str) -> list[dict[str, Any]]:
        """Return the measurements of one answer."""
        answer = self.get(target)
        assert answer.status == 200, answer.body
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    def raw(self, request: bytes, timeout: float = 5) -> bytes:
        """Send bytes as they are and return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def metrics(self, timeout: float = 30) -> dict[str, float]:
        """Return each sample of the metrics: name with labels → value."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=timeout)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            assert response.status == 200
            text = response.read().decode()
        finally:
            connection.close()
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return what it logged so far as JSON; of one event if it is named."""
        found: list[dict[str, Any]] = [json.loads(line) for line in list(self.lines)]
        return [event for event in found if name in ("", event["event"])]

    def lines_until(self, request_id: str) -> list[str]:
        """Wait for the line of a request; return it and those before it."""
        ended = re.compile(rf"request.finished.*\brequest_id\W+{re.escape(request_id)}(\"|$)")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            lines = list(self.lines)
            for number, line in enumerate(lines):
                if ended.search(line):
                    return lines[: number + 1]
            time.sleep(0.02)
        raise AssertionError(f"request {request_id} was not logged")

    def request_event(self, request_id: str) -> dict[str, Any]:
        """Wait for what was logged at the end of a request."""
        event: dict[str, Any] = json.loads(self.lines_until(request_id)[-1])
        return event

    def stop(self) -> int:
        """End it as an operator would, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(environment: Mapping[str, str], *arguments: str) -> Iterator[Api]:
    """Run `airq serve` until the block ends.

    Args:
        environment: what it gets besides this process's own; settings of airq are never inherited.
    """
    port, metrics_port = free_port(), free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRQ_")}
    ports = {"AIRQ_PORT": str(port), "AIRQ_METRICS_PORT": str(metrics_port)}
    with subprocess.Popen(
        [sys.executable, "-m", "airq", "serve", *arguments],
        env={**inherited, **ports, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        api = Api(process, port, metrics_port)
        assert process.stdout is not None

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                api.lines.append(line.rstrip("\n"))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            _wait_until_started(api)
            yield api
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                listener.join(10)


def _wait_until_started(api: Api) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not any("service_started" in line or "service started" in line for line in api.lines):
        if api.process.poll() is not None:
            assert api.process.stderr is not None
            raise AssertionError(f"airq serve ended: {api.process.stderr.read()}")
        if time.monotonic() > deadline:
            raise AssertionError("airq serve did not start")
        time.sleep(0.01)
