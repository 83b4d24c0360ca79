"""Events → log lines: JSON for machines, colored text on a terminal."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, TextIO

import click
import msgspec

from airq.telemetry.events import (
    DatabaseLost,
    Event,
    Observer,
    RequestFailed,
    RequestFinished,
    SettingUnknown,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COLORS = {"info": "green", "warning": "yellow", "error": "red"}


def log_observer(stream: TextIO, form: str, requests: str) -> Observer:
    """Return an observer that writes each event as one line.

    Args:
        stream: where to.
        form: `json`, `text` or `auto` (text where the stream is a terminal).
        requests: which requests are written: `all`, `errors` (500 and above) or `none`.
    """
    text = form == "text" or (form == "auto" and stream.isatty())
    render: Callable[[dict[str, Any]], str] = _render_text if text else _render_json
    colored = stream.isatty()

    def observe(event: Event) -> None:
        if isinstance(event, RequestFinished) and (
            requests == "none" or (requests == "errors" and event.status < 500)
        ):
            return
        line = {
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _level(event),
            "event": _name(type(event).__name__),
        }
        for name in event.__dataclass_fields__:
            value = getattr(event, name)
            if value is not None:
                line[name] = value
        written = render(line)
        if text and not colored:
            written = click.unstyle(written)
        stream.write(written + "\n")
        stream.flush()

    return observe


def _level(event: Event) -> str:
    if isinstance(event, RequestFinished):
        return "error" if event.status >= 500 else "info"
    if isinstance(event, RequestFailed | DatabaseLost):
        return "error"
    return "warning" if isinstance(event, SettingUnknown) else "info"


@cache
def _name(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


def _render_json(line: dict[str, Any]) -> str:
    return msgspec.json.encode(line).decode()


def _render_text(line: dict[str, Any]) -> str:
    """Render what a person at a terminal wants to see of an event."""
    clock = click.style(line.pop("timestamp")[11:23], dim=True)
    level, event = line.pop("level"), line.pop("event")
    traceback = line.pop("traceback", None)
    details = " ".join(f"{name}={click.style(_visible(value), bold=True)}" for name, value in line.items())
    text = f"{clock} {click.style(event.replace('_', ' '), fg=_COLORS[level])} {details}"
    return f"{text}\n{traceback}" if traceback else text


def _visible(value: object) -> str:
    """Write control characters as escapes: what clients send must not steer a terminal or begin a line."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value))
