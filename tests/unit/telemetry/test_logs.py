"""Events as lines: JSON for machines, text for people."""

import errno
import io
import json
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from airq.telemetry import events
from airq.telemetry.events import DatabaseLost, Event, RequestFailed, SettingUnknown
from airq.telemetry.logs import log_observer
from tests.unit.telemetry.requests import finished


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def written(
    event: Event, form: str = "json", requests: str = "all", stream: io.StringIO | None = None
) -> str:
    """Return what is logged of an event."""
    stream = stream or io.StringIO()
    log_observer(stream, form, requests)(event)
    return stream.getvalue()


def test_a_json_line_has_time_level_and_name_in_front_and_then_the_events_own_fields() -> None:
    text = written(finished())
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    line = json.loads(text)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["event"]) == ("info", "request_finished")
    assert (line["status"], line["duration_seconds"], line["rows"], line["size"]) == (200, 0.02, 5, 99)
    assert "error" not in line


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (finished(status=404), "info"),
        (finished(status=503), "error"),
        (DatabaseLost("gone"), "error"),
        (RequestFailed("GET", "/", "/", "abc", "Traceback"), "error"),
        (SettingUnknown("AIRQ_X"), "warning"),
    ],
)
def test_levels_tell_what_needs_a_look(event: Event, level: str) -> None:
    assert json.loads(written(event))["level"] == level


KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and is_dataclass(kind) and issubclass(kind, Event) and kind is not Event
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("form", ["json", "text"])
def test_every_event_can_be_written(kind: type[Any], form: str) -> None:
    numbers: dict[object, object] = {int: 1, float: 0.5}
    event = kind(*(numbers.get(field.type, "x") for field in fields(kind)))
    assert written(event, form).endswith("\n")


@pytest.mark.parametrize(
    ("requests", "status", "lines"),
    [("all", 200, 1), ("errors", 499, 0), ("errors", 500, 1), ("none", 500, 0)],
)
def test_which_requests_are_written_can_be_chosen(requests: str, status: int, lines: int) -> None:
    assert written(finished(status=status), requests=requests).count("\n") == lines
    assert written(DatabaseLost("gone"), requests=requests).count("\n") == 1


def test_terminals_get_text_and_everything_else_json() -> None:
    assert "request finished" in written(finished(), "auto", stream=Terminal())
    assert "\x1b[" in written(finished(), "auto", stream=Terminal())
    assert json.loads(written(finished(), "auto"))
    assert "\x1b" not in written(finished(), "text")
    assert json.loads(written(finished(), "json", stream=Terminal()))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_clients_send_neither_begins_a_line_nor_steers_a_terminal(stream: type[io.StringIO]) -> None:
    target = "/x?\n00:00:00 all is well\r\x1b[2J\x9b2J\x07\u2028\u202eé"
    plain, attacked = (written(finished(target=text), "text", stream=stream()) for text in ("/x?", target))
    assert attacked.count("\n") == 1
    assert attacked.count("\x1b") == plain.count("\x1b")
    assert not set("\r\x9b\x07\u2028\u202e") & set(attacked)
    assert r"\n00:00:00 all is well\r\x1b[2J\x9b2J\x07\u2028\u202eé" in attacked
    assert json.loads(written(finished(target=target)))["target"] == target


class Full(io.StringIO):
    """A stream that takes nothing any more."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_can_not_be_written_is_counted_and_costs_nothing_else() -> None:
    lost: list[bool] = []
    observe = log_observer(Full(), "json", "errors", lambda: lost.append(True))
    for status in (200, 500, 500):
        observe(finished(status=status))
    assert len(lost) == 2


def test_people_see_the_trace_of_a_fault_as_it_is() -> None:
    text = written(RequestFailed("GET", "/", "/", "abc", "Traceback\n  line 1\n"), "text")
    assert "Traceback\n  line 1\n" in text


def test_the_trace_of_a_fault_steers_no_terminal() -> None:
    text = written(RequestFailed("GET", "/", "/", "abc", "Traceback\nKeyError: \x1b[2J\u202e\n"), "text")
    assert "Traceback\nKeyError: \\x1b[2J\\u202e\n" in text
