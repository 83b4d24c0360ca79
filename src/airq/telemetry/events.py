"""The one vocabulary of what happens in airq; logs and metrics each take from it what they need.

An event's class name, in snake case, is its name in the logs; its fields are the log's fields.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True)
class ServiceStarted(Event):
    """The API listens."""

    version: str
    url: str
    metrics_url: str


@dataclass(frozen=True)
class ServiceDraining(Event):
    """The API was asked to stop: readiness fails from now on, the port closes after `seconds`."""

    signal: str
    seconds: float


@dataclass(frozen=True)
class ServiceStopped(Event):
    """The API has ended; `unfinished` requests were cut off."""

    unfinished: int


@dataclass(frozen=True)
class RequestFinished(Event):
    """A request was answered.

    Args:
        route: the path's template, so that no client's spelling becomes a metric's label.
        target: the path and query as they came.
        duration_seconds: from the first byte of the request to the last of the answer.
        rows: measurements in the answer.
        size: bytes of the answer's body as it was sent, compressed or not.
    """

    method: str
    route: str
    target: str
    status: int
    duration_seconds: float
    rows: int
    size: int
    request_id: str
    error: str | None = None


@dataclass(frozen=True)
class RequestFailed(Event):
    """A request ended with a fault of airq's own; the traceback is for its developers."""

    method: str
    route: str
    target: str
    request_id: str
    traceback: str


@dataclass(frozen=True)
class DatabaseLost(Event):
    """The database stopped answering."""

    reason: str


@dataclass(frozen=True)
class DatabaseFound(Event):
    """The database answers again."""

    after_seconds: float


@dataclass(frozen=True)
class SettingUnknown(Event):
    """An environment variable begins like a setting of airq and is none."""

    name: str


Observer = Callable[[Event], None]


class Telemetry:
    """Hands each event to every observer."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def emit(self, event: Event) -> None:
        """Tell all observers."""
        for observe in self._observers:
            observe(event)
