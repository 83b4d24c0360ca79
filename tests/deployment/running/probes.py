"""Probes, as the kubelet asks them."""

import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.deployment.rendering import Object
from tests.deployment.running.fields import Unsupported

Ask = Callable[[float], str]
"""Asks once, with a timeout in seconds; returns what is wrong, "" where nothing is."""


def make(probe: Object, address: str, port_of: Callable[[Any], int], execute: Callable[..., str]) -> Ask:
    """Return what asks as a probe says.

    Args:
        address: the pod's.
        port_of: a port's number, by its number or name.
        execute: runs a command in the container: `execute(command, timeout_seconds)`; returns what is wrong.

    Raises:
        Unsupported: the probe asks in no way that is known.
    """
    if "httpGet" in probe:
        path, port = probe["httpGet"]["path"], port_of(probe["httpGet"]["port"])
        return lambda timeout_seconds: _get(address, port, path, timeout_seconds)
    if "exec" in probe:
        command = probe["exec"]["command"]
        return lambda timeout_seconds: execute(command, timeout_seconds)
    if "tcpSocket" in probe:
        port = port_of(probe["tcpSocket"]["port"])
        return lambda timeout_seconds: _connect(address, port, timeout_seconds)
    raise Unsupported(f"a probe that asks by {sorted(probe)}")


def _get(address: str, port: int, path: str, timeout_seconds: float) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path, headers={"User-Agent": "kube-probe/1.30", "Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"GET {path}: {error!r}"
    finally:
        connection.close()
    return "" if 200 <= status < 400 else f"GET {path}: status {status}"


def _connect(address: str, port: int, timeout_seconds: float) -> str:
    try:
        socket.create_connection((address, port), timeout_seconds).close()
    except OSError as error:
        return f"port {port}: {error!r}"
    return ""


@dataclass
class Prober:
    """Asks one probe of one running container again and again, in a thread of its own.

    Args:
        probe: as the manifest has it.
        ask: asks once.
        on_change: told when as many answers in a row as the thresholds say were good (True) or bad (False).
        stop: ends it.
    """

    probe: Object
    ask: Ask
    on_change: Callable[[bool, str], None]
    stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        wanted = {True: self.probe.get("successThreshold", 1), False: self.probe.get("failureThreshold", 3)}
        period = self.probe.get("periodSeconds", 10)
        self.stop.wait(self.probe.get("initialDelaySeconds", 0))
        count, last = 0, None
        while not self.stop.is_set():
            began = time.monotonic()
            wrong = self.ask(self.probe.get("timeoutSeconds", 1))
            good = not wrong
            count = count + 1 if good is last else 1
            last = good
            if count >= wanted[good] and not self.stop.is_set():
                self.on_change(good, wrong)
            self.stop.wait(max(0.0, period - (time.monotonic() - began)))
