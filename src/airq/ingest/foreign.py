"""Files that are no CSV, told by how they begin, with what to do about each."""

import re

_AS_CSV = "save it as CSV in UTF-8"
_BEGINNINGS = (
    (b"\xff\xfe\0\0", "UTF-32 text", _AS_CSV),
    (b"\0\0\xfe\xff", "UTF-32 text", _AS_CSV),
    (b"\xff\xfe", "UTF-16 text", _AS_CSV),
    (b"\xfe\xff", "UTF-16 text", _AS_CSV),
    (b"PK\x03\x04", "a zip archive or a spreadsheet (xlsx, ods)", f"unpack it, or {_AS_CSV}"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet (xls)", _AS_CSV),
    (b"\x1f\x8b", "packed with gzip twice", "unpack it once"),
    (b"BZh", "packed with bzip2", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ\0", "packed with xz", "unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it, or pack it with gzip"),
    (b"PAR1", "a Parquet file", "convert it to CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export its table as CSV"),
    (b"%PDF", "a PDF document", "ask its publisher for the data as CSV"),
)  # fmt: skip

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def what_instead_of_csv(line: bytes) -> str | None:
    """Return what a file is, and what to do, by its first line that is not blank; None for a CSV."""
    for beginning, kind, advice in _BEGINNINGS:
        if line.startswith(beginning):
            return f"it is {kind}; {advice}"
    text = line.strip()
    if text.startswith(b"<"):
        return "it is a web page or XML, perhaps a login page; fetch the CSV file itself"
    if text.startswith((b"{", b'["', b"[{")) or text == b"[":
        return "it is JSON; convert it to CSV"
    control = _CONTROL.search(line)
    if control:
        found = f"byte 0x{line[control.start()]:02x} at position {control.start() + 1}"
        return f"its first line is no text ({found}), or UTF-16 or UTF-32; {_AS_CSV}"
    return None
