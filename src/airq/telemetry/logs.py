"""Events → log lines: JSON for machines, colored text on a terminal."""

import re
from dataclasses import fields
from typing import TextIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from airq.telemetry.events import (
    DatabaseLost,
    Event,
    Observer,
    RequestFailed,
    RequestFinished,
    SettingUnknown,
)

_ERRORS = (RequestFailed, DatabaseLost)


def log_observer(stream: TextIO, form: str, requests: str) -> Observer:
    """Return an observer that writes each event as one line.

    Args:
        stream: where to.
        form: `json`, `text` or `auto` (text where the stream is a terminal).
        requests: which requests are written: `all`, `errors` (500 and above) or `none`.
    """
    text = form == "text" or (form == "auto" and stream.isatty())
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=stream.isatty()) if text else _render_json,
        ],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )

    def observe(event: Event) -> None:
        if isinstance(event, RequestFinished) and (
            requests == "none" or (requests == "errors" and event.status < 500)
        ):
            return
        details = {
            field.name: value for field in fields(event) if (value := getattr(event, field.name)) is not None
        }
        if isinstance(event, RequestFinished):
            details["duration_seconds"] = round(event.duration_seconds, 6)
        write = logger.info
        if isinstance(event, _ERRORS) or (isinstance(event, RequestFinished) and event.status >= 500):
            write = logger.error
        elif isinstance(event, SettingUnknown):
            write = logger.warning
        write(_name(type(event)), **details)

    return observe


def _name(kind: type[Event]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Render one line, with the fields that every line has in front."""
    first = ("timestamp", "level", "event")
    ordered = {name: event[name] for name in first} | dict(event)
    return msgspec.json.encode(ordered).decode()
