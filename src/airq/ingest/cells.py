"""The meaning of one cell, exactly: the definition that the fast paths of `columns` must agree with."""

import math
import re
import unicodedata
from itertools import pairwise

LONGEST_STATION = 200
"""Characters in a station's name; longer ones are a shifted column or garbage."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d[\d.]*,\d+", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+(?:\.\d*)?|(?:[. ]\d{3})+(?:,\d*)?)", re.ASCII)

_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
"""What Unicode calls marks and letters although nothing of them is seen."""


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
        if _THOUSANDS.fullmatch(text):
            raise CellError(
                "thousands set apart, or a decimal comma; write 1000 as it is, and 6.8 with a point"
            )
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
        CellError: it is empty, too long, a JSON object, a step in a path, or has an invisible character.
    """
    text = text.strip()
    if not text:
        raise CellError("empty; every measurement needs its station")
    if len(text) > LONGEST_STATION:
        raise CellError(f"{len(text)} characters; a station's name has at most {LONGEST_STATION}")
    if text.startswith("{"):
        raise CellError("an object, such as a geometry; the station's name is needed")
    if text in (".", ".."):
        raise CellError("a step in a path, so that links to a station of this name would lead elsewhere")
    # Most names are done with here.
    if not (text.isascii() and text.isprintable()):
        for before, character in pairwise(f" {text}"):
            if _is_invisible(character, before):
                raise CellError(
                    f"an invisible character, U+{ord(character):04X}, in a station's name; take it out"
                )
    return text


def _is_invisible(character: str, before: str) -> bool:
    """Tell whether a character can't be seen, so that with and without it a name looks the same."""
    if character in "\u200c\u200d":
        # These join or part the letters of scripts such as Persian and Sinhala, where they can be seen.
        return before.isascii()
    return character in _FILLERS or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
