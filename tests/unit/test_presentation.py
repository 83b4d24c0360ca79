"""What a terminal is shown of a load."""

import io
import re

import click
import pytest
from rich.console import Console

from airq.cli import presentation


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal's text, in the place of standard error."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, highlight=False, width=100)
    monkeypatch.setattr(presentation, "_err", lambda: console)
    return shown


def test_a_load_that_starts_over_begins_its_bar_again(terminal: io.StringIO) -> None:
    with presentation.progress("a.csv", 1000, notices_only=False) as watcher:
        watcher.read(900)
        watcher.sent(90)
        watcher.restart()
        watcher.read(300)
        watcher.sent(30)
    drawn = re.findall(r"([\d.]+)/\S+ \w+ +(\d+) rows", click.unstyle(terminal.getvalue()))
    assert drawn[-1] == ("0.3", "30"), terminal.getvalue()


def test_without_a_terminal_the_share_of_the_file_begins_again(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presentation, "PLAIN_PROGRESS_SECONDS", 0.0)
    watcher = presentation._Plain("a.csv", 1000, notices_only=False)
    watcher.read(900)
    watcher.restart()
    watcher.read(300)
    watcher.sent(30)
    assert "30 rows, 30% of the file" in terminal.getvalue()


def test_a_script_hears_notices_only(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presentation, "PLAIN_PROGRESS_SECONDS", 0.0)
    with presentation.progress("a.csv", 1000, notices_only=True) as watcher:
        watcher.read(900)
        watcher.sent(90)
        watcher.notice("columns without use: padding")
    assert "columns without use: padding" in terminal.getvalue()
    assert "rows" not in terminal.getvalue()
