"""Events → log lines: JSON for machines, colored text on a terminal."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, TextIO

import click
import msgspec

from airq.domain.printing import visible
from airq.telemetry.events import (
    DatabaseLost,
    Event,
    Observer,
    RequestFailed,
    RequestFinished,
    SettingUnknown,
)

_COLORS = {"info": "green", "warning": "yellow", "error": "red"}


def log_observer(
    stream: TextIO, form: str, requests: str, on_lost: Callable[[], None] = lambda: None
) -> Observer:
    """Return an observer that writes each event as one line.

    A line that can't be written costs nothing else: a reader that is gone or a full disk stops no service.

    Args:
        stream: where to.
        form: `json`, `text` or `auto` (text where the stream is a terminal).
        requests: which requests are written: `all`, `errors` (500 and above) or `none`.
        on_lost: called for each line that can't be written.
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
        try:
            stream.write(written + "\n")
            stream.flush()
        except OSError:
            on_lost()

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
    shown = {name: click.style(visible(str(value)), bold=True) for name, value in line.items()}
    details = " ".join(f"{name}={value}" for name, value in shown.items())
    text = f"{clock} {click.style(event.replace('_', ' '), fg=_COLORS[level])} {details}"
    return text + "\n" + visible(traceback, kept="\n") if traceback else text
