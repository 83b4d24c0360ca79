"""PostgreSQL's binary COPY format, checked by a second reading of its documentation."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airq.store.copy_format import encode_rows

EPOCH_MS = 946_684_800_000
"""2000-01-01, where PostgreSQL's times begin."""


def decode(data: bytes) -> list[list[bytes | None]]:
    """Read rows of fields; None is a NULL."""
    assert data[:11] == b"PGCOPY\n\xff\r\n\x00"
    flags, extension = struct.unpack(">ii", data[11:19])
    assert (flags, extension) == (0, 0)
    place, rows = 19, []
    while (count := struct.unpack_from(">h", data, place)[0]) != -1:
        place += 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, place)
            place += 4
            fields.append(None if length == -1 else data[place : place + length])
            place += max(length, 0)
        rows.append(fields)
    assert place + 2 == len(data)
    return rows


@given(st.data(), st.integers(0, 20), st.integers(0, 6))
def test_every_row_arrives_as_it_is(data: st.DataObject, count: int, pollutants: int) -> None:
    whole = st.integers(-(2**31), 2**31 - 1)
    keys = data.draw(arrays(np.int64, count, elements=whole))
    lines = data.draw(arrays(np.int64, count, elements=st.integers(-(2**63), 2**63 - 1)))
    times = data.draw(arrays(np.int64, count, elements=st.integers(-(2**50), 2**50)))
    values = [
        data.draw(arrays(np.float64, count, elements=st.floats(allow_nan=True))) for _ in range(pollutants)
    ]
    rows = decode(encode_rows([(lines, 8), (keys, 4)], times, values))
    assert rows == [
        [
            struct.pack(">q", lines[row]),
            struct.pack(">i", keys[row]),
            struct.pack(">q", (int(times[row]) - EPOCH_MS) * 1000),
            *(None if np.isnan(column[row]) else struct.pack(">d", column[row]) for column in values),
        ]
        for row in range(count)
    ]


def test_the_documented_example_of_a_row() -> None:
    made = encode_rows([(np.array([7]), 4)], np.array([EPOCH_MS + 1]), [np.array([1.5]), np.array([np.nan])])
    assert made == (
        b"PGCOPY\n\xff\r\n\x00" + bytes(8)
        + b"\x00\x04"
        + b"\x00\x00\x00\x04" + b"\x00\x00\x00\x07"
        + b"\x00\x00\x00\x08" + b"\x00\x00\x00\x00\x00\x00\x03\xe8"
        + b"\x00\x00\x00\x08" + b"\x3f\xf8\x00\x00\x00\x00\x00\x00"
        + b"\xff\xff\xff\xff"
        + b"\xff\xff"
    )  # fmt: skip


def test_what_is_encoded_is_not_changed() -> None:
    values = np.array([np.nan, 1.0])
    encode_rows([(np.array([1, 2]), 4)], np.array([0, 1]), [values])
    assert np.isnan(values[0])
    assert values[1] == 1.0
