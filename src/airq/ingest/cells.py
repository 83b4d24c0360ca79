"""The meaning of one cell, exactly: the definition that the fast paths of `columns` must agree with."""

import math
import re
import unicodedata

LONGEST_STATION = 200
"""Characters in a station's name; longer ones are a shifted column or garbage."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d[\d.]*,\d+", re.ASCII)


class CellError(ValueError):
    """A cell can't be what its column says; the message is the reason."""


def parse_number(text: str) -> float | None:
    """Read a measured value; None for an empty cell, zero without a sign.

    Raises:
        CellError: it is not a finite decimal number.
    """
    text = text.strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        if _DECIMAL_COMMA.fullmatch(text):
            raise CellError("a decimal comma; write a point, as in 6.8")
        if text.lower().lstrip("+-") in ("inf", "infinity", "∞"):
            raise CellError("infinite; a finite number or an empty cell is needed")
        raise CellError("not a number; leave a missing value empty, or name its mark with --missing")
    value = float(text)
    if math.isinf(value):
        raise CellError("too large for a double-precision number")
    return value + 0.0


def parse_station(text: str) -> str:
    """Read a station's name, without the blanks around it.

    Raises:
        CellError: it is empty, too long or holds control characters.
    """
    text = text.strip()
    if not text:
        raise CellError("empty; every measurement needs its station")
    if len(text) > LONGEST_STATION:
        raise CellError(f"{len(text)} characters; a station's name has at most {LONGEST_STATION}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise CellError("control characters in a station's name")
    return text
