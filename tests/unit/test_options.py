"""Options of the command line: text becomes a value, or a message that says what is allowed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click
import pytest

from airq.cli.options import INSTANT, INTERVAL, MISSING, PLACE, TIMEZONE, TOLERANCE
from airq.domain.tolerance import Tolerance


def read(kind: click.ParamType[object], text: str) -> object:
    return kind.convert(text, None, None)


def refusal(kind: click.ParamType[object], text: str) -> str:
    with pytest.raises(click.BadParameter) as caught:
        read(kind, text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [("UTC", UTC), ("utc", UTC), ("Europe/Madrid", ZoneInfo("Europe/Madrid")), (" UTC ", UTC)],
)
def test_zones_are_those_of_the_iana_database(text: str, value: object) -> None:
    assert read(TIMEZONE, text) == value


@pytest.mark.parametrize(
    "text", ["Madrid", "", "+02:00", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b"]
)
def test_other_zones_are_refused(text: str) -> None:
    assert refusal(TIMEZONE, text) == (
        f"“{text}” must be a zone of the IANA database, such as Europe/Madrid or UTC."
    )


@pytest.mark.parametrize(
    ("text", "value"), [("-9999", -9999.0), ("1e3", 1000.0), ("0", 0.0), ("NA", "NA"), ("nan", "nan")]
)
def test_a_mark_for_no_value_is_a_number_or_a_text(text: str, value: object) -> None:
    assert read(MISSING, text) == value


def test_an_empty_mark_is_refused() -> None:
    assert refusal(MISSING, " ") == "“ ” must be a number or a text, such as -9999 or NA."


@pytest.mark.parametrize(
    ("text", "rejected", "of", "allowed"),
    [
        ("5%", 5, 100, True), ("5%", 6, 100, False), ("0%", 0, 9, True), ("0%", 1, 10_000_000, False),
        ("100%", 9, 9, True), ("0.1%", 1, 1000, True), ("0.1%", 1, 999, False), (" 5 % ", 5, 100, True),
        ("0", 0, 9, True), ("0", 1, 9, False), ("7", 7, 7, True), ("7", 8, 9_000, False),
    ],
)  # fmt: skip
def test_a_tolerance_is_a_share_or_a_number_of_rows(text: str, rejected: int, of: int, allowed: bool) -> None:
    tolerance = read(TOLERANCE, text)
    assert isinstance(tolerance, Tolerance)
    assert tolerance.allows(rejected, of) is allowed


@pytest.mark.parametrize("text", ["", "%", "-1", "-1%", "101%", "nan%", "inf%", "5 percent", "0.05", "1,000"])
def test_other_tolerances_are_refused(text: str) -> None:
    assert refusal(TOLERANCE, text) == (
        f"“{text}” must be a share from 0% to 100%, or a whole number of rows."
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10s", timedelta(seconds=10)), ("15m", timedelta(minutes=15)), ("1h", timedelta(hours=1)),
        ("2d", timedelta(days=2)), ("1 h", timedelta(hours=1)),
    ],
)  # fmt: skip
def test_an_interval_is_a_number_and_its_unit(text: str, value: timedelta) -> None:
    assert read(INTERVAL, text) == value


@pytest.mark.parametrize("text", ["", "0s", "10", "h", "1.5h", "-1h", "1w"])
def test_other_intervals_are_refused(text: str) -> None:
    assert refusal(INTERVAL, text) == f"“{text}” must be a number and s, m, h or d, such as 10s, 15m or 1h."


def test_an_instant_is_a_time_or_a_day() -> None:
    assert read(INSTANT, "2025-01-01") == datetime(2025, 1, 1, tzinfo=UTC)
    assert read(INSTANT, "2025-01-01T06:00:00+02:00") == datetime(2025, 1, 1, 4, tzinfo=UTC)
    assert refusal(INSTANT, "soon") == ("“soon” must be a time such as 2025-01-01 or 2025-01-01T06:00:00Z.")


def test_any_text_but_none_is_a_place() -> None:
    for text in (" a.csv ", "-", "https://example.org/a.csv"):
        assert read(PLACE, text) == text
    assert refusal(PLACE, "") == "“” must be a path, a URL or -; is a variable of the shell not set?"
