"""Measurements → PostgreSQL's binary COPY format, whole columns at a time.

Source: PostgreSQL documentation, COPY, "Binary Format". A row is a 16-bit count of fields, then for
each field its 32-bit length and its bytes, or the length −1 for NULL; all big-endian.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from airq.store.connections import CODEC_EPOCH_MS

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"


def encode_rows(
    integers: Sequence[tuple[npt.NDArray[np.int64], int]],
    times: npt.NDArray[np.int64],
    values: Sequence[npt.NDArray[np.float64]],
) -> bytes:
    """Return n rows of integer columns, then the time, then the values, with header and trailer.

    Args:
        integers: (n,) arrays, each with the bytes of its column: 4 for integer, 8 for bigint.
        times: (n,) milliseconds since 1970.
        values: (n,) doubles each; NaN is written as NULL.
    """
    columns: list[tuple[npt.NDArray[np.generic], str]] = [
        *((numbers, f">i{size}") for numbers, size in integers),
        ((times - CODEC_EPOCH_MS) * 1000, ">i8"),
        *((numbers, ">f8") for numbers in values),
    ]
    row = np.dtype(
        [("fields", ">i2")]
        + [
            part
            for number, (_, kind) in enumerate(columns)
            for part in ((f"length{number}", ">i4"), (f"value{number}", kind))
        ]
    )
    rows = np.empty(len(times), row)
    rows["fields"] = len(columns)
    for number, (data, kind) in enumerate(columns):
        rows[f"length{number}"] = np.dtype(kind).itemsize
        rows[f"value{number}"] = data
    nulls = {
        number: null
        for number, (data, kind) in enumerate(columns)
        if kind == ">f8" and (null := np.isnan(data)).any()
    }
    if not nulls:
        return b"".join((HEADER, rows.tobytes(), TRAILER))
    # A NULL has no bytes behind its length, so these places are taken out of the even rows.
    characters = rows.view(np.uint8).reshape(len(rows), row.itemsize)
    keep = np.ones(characters.shape, np.bool_)
    for number, null in nulls.items():
        rows[f"length{number}"][null] = -1
        fields = row.fields
        assert fields is not None
        start = fields[f"value{number}"][1]
        keep[null, start : start + 8] = False
    return b"".join((HEADER, characters[keep].tobytes(), TRAILER))
