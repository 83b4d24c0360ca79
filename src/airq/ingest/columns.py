"""Whole columns of text → numpy arrays: fast where a column is regular, exact cell by cell elsewhere.

A fast path takes a column as a whole or leaves it as a whole to the cell-by-cell definition in `cells`
and `airq.domain.instants`; where it takes one, both give the same result.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo

import msgspec
import numpy as np
import numpy.typing as npt

from airq.domain.instants import EARLIEST_YEAR, LATEST_YEAR, UnreadableInstant, parse_instant
from airq.ingest.cells import CellError, parse_number

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Refuse = Callable[[int, str], None]
"""Called with a row's index and the reason why its cell is impossible."""

_decode_numbers = msgspec.json.Decoder(list[float]).decode


def parse_numbers(column: Sequence[str], refuse: Refuse) -> Floats:
    """Read a column of measured values.

    Args:
        column: n texts.
        refuse: told of each cell that is not a finite number; its value in the result means nothing.

    Returns:
        n doubles, NaN for an empty cell.
    """
    # A JSON array's numbers are a strict subset of those that airq reads, and its decoder in C rounds
    # exactly. The length shows a cell that held a comma.
    blank = "" in column
    text = ",".join([cell or "0" for cell in column] if blank else column)
    try:
        values = np.array(_decode_numbers(f"[{text}]"), dtype=np.float64)
    except (msgspec.DecodeError, UnicodeEncodeError):
        values = np.empty(0)
    if len(values) == len(column) and bool(np.isfinite(values).all()):
        if blank:
            values[[not cell for cell in column]] = np.nan
        return values
    values = np.full(len(column), np.nan)
    for row, cell in enumerate(column):
        try:
            value = parse_number(cell)
        except CellError as error:
            refuse(row, str(error))
        else:
            if value is not None:
                values[row] = value
    return values


def parse_instants(column: Sequence[str], timezone: tzinfo, refuse: Refuse) -> Ints:
    """Read a column of times.

    Args:
        column: n texts.
        timezone: where times without a zone were read.
        refuse: told of each cell that is not a time; its value in the result means nothing.

    Returns:
        n times in milliseconds since 1970-01-01T00:00:00Z.
    """
    if timezone is UTC:
        instants = _parse_alike_instants(column)
        if instants is not None:
            return instants
    instants = np.zeros(len(column), np.int64)
    for row, cell in enumerate(column):
        try:
            instants[row] = parse_instant(cell, timezone)
        except UnreadableInstant as error:
            refuse(row, str(error))
    return instants


# Lengths of YYYY-MM-DD hh:mm:ss without and with fractions of milli- and microseconds.
_ALIKE_LENGTHS = (19, 23, 26)
_DAYS_IN_MONTH = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


def _parse_alike_instants(column: Sequence[str]) -> Ints | None:
    """Read times that all have one of the usual forms, in UTC, by arithmetic on their digits."""
    length = len(column[0])
    zoned = column[0].endswith("Z")
    text = "".join(column)
    if length - zoned not in _ALIKE_LENGTHS or not text.isascii():
        return None
    if len(text) != length * len(column) or len(set(map(len, column))) > 1:
        return None
    characters = np.frombuffer(text.encode("ascii"), np.uint8).reshape(len(column), length)
    if zoned and not (characters[:, -1] == ord("Z")).all():
        return None
    marks = {4: b"-", 7: b"-", 10: b" T", 13: b":", 16: b":"} | ({19: b"."} if length > 20 else {})
    for place, allowed in marks.items():
        if not np.isin(characters[:, place], np.frombuffer(allowed, np.uint8)).all():
            return None
    places = [place for place in range(length - zoned) if place not in marks]
    digits = characters[:, places] - np.uint8(ord("0"))  # Wraps far above 9 for anything else.
    if (digits > 9).any():
        return None
    digits = digits.astype(np.int64)

    def number(first: int, count: int) -> Ints:
        powers: Ints = 10 ** np.arange(count - 1, -1, -1, dtype=np.int64)
        return digits[:, first : first + count] @ powers

    year, month, day = number(0, 4), number(4, 2), number(6, 2)
    hour, minute, second = number(8, 2), number(10, 2), number(12, 2)
    millisecond = number(14, 3) if length > 20 else np.zeros(len(column), np.int64)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    possible = (year >= EARLIEST_YEAR) & (year < LATEST_YEAR) & (month >= 1) & (month <= 12)
    if not possible.all():
        return None
    possible = (day >= 1) & (day <= _DAYS_IN_MONTH[month - 1] + (leap & (month == 2)))
    if not (possible & (hour < 24) & (minute < 60) & (second < 60)).all():
        return None
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day - 1
    return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millisecond
