"""Text of others is shown as it is, but for what steers, breaks or turns the line it stands in."""

import pytest

from airq.domain.printing import visible


@pytest.mark.parametrize("text", ["", "aq_salvia", "Jaén, 5 µg/m³ [x] \\n “é” 駅", "a\ufffdb"])
def test_what_shows_itself_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07\x7f\x9b", r"\x1b[2J\x07\x7f\x9b"),
        ("a\r\n\tb", r"a\r\n\tb"),
        # An override, an isolate and a mark turn the order in which a line is read.
        ("gpj.\u202eexe \u2066x\u2069 \u200f", r"gpj.\u202eexe \u2066x\u2069 \u200f"),
        ("\u2028\u2029\u00a0\u200b\ufeff", r"\u2028\u2029\xa0\u200b\ufeff"),
        ("\udce9\U000e0001", r"\udce9\U000e0001"),
    ],
)
def test_what_does_not_is_written_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(text).isprintable()


def test_what_is_meant_may_stay() -> None:
    assert visible("a\n\tb\r", kept="\n\t") == "a\n\tb\\r"
