"""The corpus of damaged files: what each one's publisher is told."""

import gzip
import io
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airq.domain.errors import UnusableInput
from airq.ingest.sources import open_source
from tests.unit.ingest.reading import HEADER, ROW, Reading, read, read_stream

TEN_MEGABYTES = b"x" * 10_000_000


def text_gz() -> bytes:
    return gzip.compress(HEADER + ROW * 1000, mtime=0)


def spreadsheet() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return packed.getvalue()


NO_TIME = "no time column (TimeInstant, Timestamp, DateTime or Time)"
NO_STATION = "no station column (id_entity, station, station_id or site)"
NO_POLLUTANT = "no pollutant column (at least one of so2, no2, co, o3, pm10, pm2_5)"
NO_ROWS = "it is empty; a header line and measurements are needed"
LONG_HEADER = (
    "its first line has more than 65,536 bytes; it must name the columns, as in TimeInstant,id_entity,so2,no2"
)

UNUSABLE = {
    "empty file": (b"", NO_ROWS),
    "blank lines only": (b"\n\r\n  \n" * 1000, NO_ROWS),
    "byte order mark only": (b"\xef\xbb\xbf", NO_ROWS),
    "empty gzip": (gzip.compress(b""), NO_ROWS),
    "truncated gzip": (
        text_gz()[:-20],
        "the gzip file is cut off; fetch it again",
    ),
    "gzip of two bytes": (
        b"\x1f\x8b",
        "the gzip file is cut off; fetch it again",
    ),
    "gzip in gzip": (gzip.compress(text_gz()), "it is packed with gzip twice; unpack it once"),
    "bzip2": (b"BZh91AY&SY", "it is packed with bzip2; unpack it, or pack it with gzip"),
    "spreadsheet": (
        spreadsheet(),
        "it is a zip archive or a spreadsheet (xlsx, ods); unpack it, or save it as CSV in UTF-8",
    ),
    "old spreadsheet": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "it is a spreadsheet (xls); save it as CSV in UTF-8",
    ),
    "Parquet": (b"PAR1\x15\x04", "it is a Parquet file; convert it to CSV"),
    "login page": (
        b"\n<!DOCTYPE html>\n<html><title>Please log in</title></html>\n",
        "it is a web page or XML, perhaps a login page; fetch the CSV file itself",
    ),
    "JSON": (b'{"data": [{"so2": 1}]}', "it is JSON; convert it to CSV"),
    "JSON on many lines": (b"[\n  {\n", "it is JSON; convert it to CSV"),
    "UTF-16": (
        (HEADER + ROW).decode().encode("utf-16"),
        "it is UTF-16 text; save it as CSV in UTF-8",
    ),
    "UTF-16 without its mark": (
        (HEADER + ROW).decode().encode("utf-16-le"),
        "its first line is no text (byte 0x00 at position 2), or UTF-16 or UTF-32; save it as CSV in UTF-8",
    ),
    "UTF-32": (
        (HEADER + ROW).decode().encode("utf-32"),
        "it is UTF-32 text; save it as CSV in UTF-8",
    ),
    "UTF-32 of the other byte order": (
        ("\ufeff" + (HEADER + ROW).decode()).encode("utf-32-be"),
        "it is UTF-32 text; save it as CSV in UTF-8",
    ),
    "binary file": (
        bytes(range(256)) * 100,
        "its first line is no text (byte 0x00 at position 1), or UTF-16 or UTF-32; save it as CSV in UTF-8",
    ),
    "header in Latin-1": (
        "Time,Station,NO2 (µg/m³)\n".encode("latin-1"),
        ("its first line is not UTF-8 but perhaps Latin-1 (byte 0xb5 at position 19); "
        "save it as CSV in UTF-8"),
    ),
    "header of 10 MB": (TEN_MEGABYTES, LONG_HEADER),
    "header of 10 MB with separators": (b"x," * 5_000_000 + b"\n" + ROW, LONG_HEADER),
    "lines that end with CR": (
        (HEADER + ROW * 2000).replace(b"\n", b"\r"),
        "its lines end with CR alone; save it with LF or CRLF line ends",
    ),
    "lines that end with CR CR LF": (
        (HEADER + ROW * 2000).replace(b"\n", b"\r\r\n"),
        "its lines end with CR CR LF, as if ends were converted twice; save it with CRLF or LF",
    ),
    "a separator's line alone": (b"sep=;\n", NO_ROWS),
    "a separator that is not read": (
        b"sep=|\n" + (HEADER + ROW).replace(b",", b"|"),
        ("its first line has neither comma, semicolon nor tab: sep=|; "
        "it must name the columns, as in TimeInstant,id_entity,so2,no2"),
    ),
    "prose": (
        b"Air quality in October\n",
        ("its first line has neither comma, semicolon nor tab: Air quality in October; "
        "it must name the columns, as in TimeInstant,id_entity,so2,no2"),
    ),
    "no header": (
        ROW,
        (f"{NO_TIME}; {NO_STATION}; {NO_POLLUTANT}; "
        "columns found: 2016-10-01 00:00:00, aq_salvia, 1.5, 2"),
    ),
    "unclosed quote in the header": (
        b'TimeInstant,"id_entity,so2\n' + ROW,
        'its first line has an unfinished quote: TimeInstant,"id_entity,so2',
    ),
    "duplicate headers": (
        b"TimeInstant,id_entity,so2,no2,SO2\n" + ROW,
        "column 3 “so2” and column 5 “SO2” mean the same; take out or rename all but one of them",
    ),
    "two spellings of a pollutant": (
        b"TimeInstant,id_entity,PM2.5,pm25 (ug/m3)\n" + ROW,
        ("column 3 “PM2.5” and column 4 “pm25 (ug/m3)” mean the same; "
        "take out or rename all but one of them"),
    ),
    "no pollutant column": (
        b"TimeInstant,id_entity,temperature\n",
        f"{NO_POLLUTANT}; columns found: TimeInstant, id_entity, temperature",
    ),
    "no time column": (b"id_entity,so2,\n", f"{NO_TIME}; columns found: id_entity, so2, (no name)"),
    "no station column": (b"TimeInstant,so2\n", f"{NO_STATION}; columns found: TimeInstant, so2"),
    "a unit that is not kept": (
        b"TimeInstant,id_entity,O3 (ppb)\n",
        ("column 3 “O3 (ppb)” is in ppb, and airq keeps O₃ in µg/m³; "
        "convert its values and rename it, or take it out"),
    ),
    "carbon monoxide in micrograms": (
        "TimeInstant,id_entity,CO [µg/m³]\n".encode(),
        ("column 3 “CO [µg/m³]” is in µg/m³, and airq keeps CO in mg/m³; "
        "convert its values and rename it, or take it out"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_file_is_refused_with_what_is_wrong_and_what_to_do(
    data: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UnusableInput) as refusal:
        read_file(data, tmp_path)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "data",
    [
        text_gz()[:-8] + b"\0\0\0\0" + text_gz()[-4:],
        text_gz()[:-4] + b"\0\0\0\1",
        text_gz()[:40] + b"\xff\xff\xff\xff" + text_gz()[44:],
        text_gz() + b"trailing text",
    ],
    ids=["checksum", "length", "middle", "something behind its end"],
)
def test_a_damaged_gzip_file_is_refused_with_the_damage(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnusableInput) as refusal:
        read_file(data, tmp_path)
    # The words between the brackets are those of the library that unpacks.
    assert re.fullmatch(r"the gzip file is damaged \(.{10,}\); fetch it again", str(refusal.value))


def read_file(data: bytes, directory: Path) -> Reading:
    file = directory / "measurements.csv"
    file.write_bytes(data)
    with open_source(str(file), io.BytesIO()) as source, source.open() as stream:
        return read_stream(stream)


INVISIBLE = (
    "0007", "001B", "0085", "00AD", "200B", "200D", "202E", "2028", "2066", "3164", "FEFF", "E0001",
)  # fmt: skip
NOT_TIME = "not a time of the form 2016-10-01T00:00:00.000Z"
NO_DAY = "no such day in the calendar"
NO_TIME_OF_DAY = "no such time of day; it goes from 00:00:00 to 23:59:59, or 24:00 as a day's end"
OTHER_YEAR = "the year, in UTC, is outside of 1900 to 2099"
YEAR_FIRST = "which is the day and which the month? write the year first, as in 2016-10-01 18:00:00"
NO_NUMBER = "not a number; leave a missing value empty, or name its mark with --missing"
THOUSANDS = "thousands set apart, or a decimal comma; write 1000 as it is, and 6.8 with a point"
INFINITE = "infinite; a finite number or an empty cell is needed"
OVERLONG = "the line has more than 65,536 bytes; no measurement has"
STEP = "a step in a path, so that links to a station of this name would lead elsewhere"
QUOTES = "a quoted field does not end on its line, or goes on behind its closing quote"

TIMES = {
    "": "empty; every measurement needs its time",
    "2016-10-01": "a date without a time of day; write both, as in 2016-10-01 00:00:00",
    "18:00:00": "a time of day without its date; write both in one column, as in 2016-10-01 18:00:00",
    "18.00.00": "a time of day without its date; write both in one column, as in 2016-10-01 18:00:00",
    "10/03/2004 18:00": YEAR_FIRST,
    "1.10.2016": YEAR_FIRST,
    "1475280000": "a number, not a time; write it as in 2016-10-01 18:00:00",
    "Sat Oct 1 00:00:00 2016": NOT_TIME,
    "2016-10-01 12:00 PM": NOT_TIME,
    "2023-02-29 00:00:00": NO_DAY,
    "1900-02-29 00:00:00": NO_DAY,
    "2016-13-01 00:00:00": NO_DAY,
    "2016-10-01 25:00:00": NO_TIME_OF_DAY,
    "2016-10-01 24:00:01": NO_TIME_OF_DAY,
    "2016-12-31 23:59:60": "a leap second, which airq can't keep; write the second before or after it",
    "0001-01-01 00:00:00": OTHER_YEAR,
    "9999-12-31 24:00:00": OTHER_YEAR,
    "1900-01-01 00:00:00+14:00": OTHER_YEAR,
    "2099-12-31 24:00": OTHER_YEAR,
    "2016-10-01 00:00:00+99:00": "no such zone offset: +99:00",
}

NUMBERS = {
    "n/a": NO_NUMBER,
    "NaN": NO_NUMBER,
    "null": NO_NUMBER,
    "12 µg": NO_NUMBER,
    "0x1F": NO_NUMBER,
    "inf": INFINITE,
    "-Infinity": INFINITE,
    "1e999": "too large for a double-precision number",
}


@dataclass(frozen=True)
class Damage:
    """What stands below the header between two good rows, and what becomes of it.

    Args:
        lines: the damaged part.
        rejects: line, field, value and reason of each row that is rejected; the part begins on line 3.
        good: rows of the part that load.
        last: nothing stands behind it.
    """

    lines: bytes
    rejects: list[tuple[int, str, str, str]]
    good: int = 0
    last: bool = False
    header: bytes = HEADER
    options: dict[str, Any] = field(default_factory=dict)


def whole(reason: str) -> list[tuple[int, str, str, str]]:
    """The line as a whole is rejected."""
    return [(3, "", "", reason)]


DAMAGES = {
    **{
        f"time {text!r}": Damage(f"{text},a,1,2\n".encode(), [(3, "TimeInstant", text, reason)])
        for text, reason in TIMES.items()
    },
    **{
        f"number {text!r}": Damage(
            f"2016-10-01 00:00:00,a,1,{text}\n".encode(), [(3, "no2", text, reason)]
        )
        for text, reason in NUMBERS.items()
    },
    "time in three spellings": Damage(
        b"2016-10-01T00:00:00Z,a,1,2\n2016/10/01 00:00,a,1,2\n2016-10-01 02:00:00.000+0200,a,1,2\n",
        [],
        good=3,
    ),
    "24:00 and 29 February": Damage(
        b"2016-10-01 24:00,a,1,2\n2016-10-01T24:00:00+02:00,a,1,2\n2024-02-29 00:00:00,a,1,2\n",
        [],
        good=3,
    ),
    "summer time's gap and overlap": Damage(
        b"2016-03-27 02:30:00,a,1,2\n"
        b"2016-10-30 02:30:00,a,1,2\n"
        b"2016-10-30 02:30:00+01:00,a,1,2\n"
        b"2016-10-30 03:00:00,a,1,2\n",
        [
            (
                3, "TimeInstant", "2016-03-27 02:30:00",
                "did not happen in Europe/Madrid (clocks went forward); was it read in another zone?",
            ),
            (
                4, "TimeInstant", "2016-10-30 02:30:00",
                "happened twice in Europe/Madrid (clocks went back); write its offset, as in +02:00",
            ),
        ],
        good=2,
        options={"timezone": ZoneInfo("Europe/Madrid")},
    ),
    "decimal commas": Damage(
        b"2016-10-01 00:00:00;a;6,8;7\n2016-10-01 01:00:00;a;6;1.007,5\n",
        [
            (3, "so2", "6,8", "a decimal comma; write a point, as in 6.8"),
            (4, "no2", "1.007,5", THOUSANDS),
        ],
        header=HEADER.replace(b",", b";"),
    ),
    "thousands set apart": Damage(
        b"".join(
            b"2016-10-01 00:00:00;a;" + number + b";6\n"
            for number in (b"1,000", b"-12,345,678", b"1,000.5", b"1.000,5", b"1.000.000", b"1 000")
        ),
        [
            (line, "so2", number, THOUSANDS)
            for line, number in enumerate(
                ("1,000", "-12,345,678", "1,000.5", "1.000,5", "1.000.000", "1 000"), start=3
            )
        ],
        header=HEADER.replace(b",", b";"),
    ),
    "decimal commas between commas": Damage(
        b"2016-10-01 00:00:00,a,6,8,7\n",
        whole(
            "5 fields, but the header has 4; "
            "is there a decimal comma, or a comma in a text without quotes?"
        ),
    ),
    "too many fields": Damage(
        b"2016-10-01 00:00:00;a;6;8;\n",
        whole("5 fields, but the header has 4"),
        header=HEADER.replace(b",", b";"),
    ),
    "too few fields": Damage(
        b"2016-10-01 00:00:00,a\n", whole("2 fields, but the header has 4")
    ),
    "too few and too many fields": Damage(
        b"2016-10-01 00:00:00,a,1\n2016-10-01 00:00:00,a,1,2,3\n",
        [
            (3, "", "", "3 fields, but the header has 4"),
            (
                4, "", "",
                ("5 fields, but the header has 4; "
                "is there a decimal comma, or a comma in a text without quotes?"),
            ),
        ],
    ),
    "NUL bytes": Damage(b"\0" * 500 + b"\n", whole("the line has a NUL byte; the file is damaged here")),
    "Latin-1 in one line": Damage(
        "2016-10-01 00:00:00,Jaén,1,2\n".encode("latin-1"),
        whole("not UTF-8 but perhaps Latin-1 (byte 0xe9 at position 23); save the file as CSV in UTF-8"),
    ),
    "UTF-8 beside Latin-1": Damage(
        b"2016-10-01 00:00:00,Ja\xc3\xa9n,1,2\n2016-10-01 00:00:00,Ja\xe9n,1,2\n",
        [
            (
                4, "", "",
                ("not UTF-8 but perhaps Latin-1 (byte 0xe9 at position 23); "
                "save the file as CSV in UTF-8"),
            ),
        ],
        good=1,
    ),
    "line of 10 MB": Damage(TEN_MEGABYTES + b"\n", whole(OVERLONG)),
    "line of 10 MB at the end": Damage(TEN_MEGABYTES, whole(OVERLONG), last=True),
    "row of 10 MB": Damage(b"2016-10-01 00:00:00,a,1,2" + b" " * 10_000_000 + b"\n", whole(OVERLONG)),
    "unclosed quote": Damage(b'2016-10-01 00:00:00,"a,1,2\n', whole(QUOTES)),
    "unclosed quote at the end": Damage(b'2016-10-01 00:00:00,"a,1,2', whole(QUOTES), last=True),
    "text behind a closing quote": Damage(b'2016-10-01 00:00:00,"a"b,1,2\n', whole(QUOTES)),
    "field on two lines": Damage(
        b'2016-10-01 00:00:00,"a\nb",1,2\n',
        [(3, "", "", QUOTES), (4, "", "", "3 fields, but the header has 4")],
    ),
    "CR inside of a line": Damage(
        b"2016-10-01 00:00:00,a\rb,1,2\n", whole("a CR inside of the line; end lines with LF or CRLF")
    ),
    "no station": Damage(
        b"2016-10-01 00:00:00, ,1,2\n",
        [(3, "id_entity", " ", "empty; every measurement needs its station")],
    ),
    **{
        f"U+{code} in a station": Damage(
            f"2016-10-01 00:00:00,a{chr(int(code, 16))}b,1,2\n".encode(),
            [
                (
                    3, "id_entity", f"a{chr(int(code, 16))}b",
                    f"an invisible character, U+{code}, in a station's name; take it out",
                )
            ],
        )
        for code in INVISIBLE
    },
    "a byte order mark before a station": Damage(
        "2016-10-01 00:00:00,\ufeffa,1,2\n".encode(),
        [
            (
                3, "id_entity", "\ufeffa",
                "an invisible character, U+FEFF, in a station's name; take it out",
            )
        ],
    ),
    "stations in scripts whose letters are joined and parted": Damage(
        "2016-10-01 00:00:00,\u0dc1\u0dca\u200d\u0dbb\u0dd3,1,2\n"
        "2016-10-01 00:00:00,\u0645\u06cc\u200c\u062f\u0627\u0646,1,2\n".encode(),
        [],
        good=2,
    ),
    "stations that are steps in a path": Damage(
        b"2016-10-01 00:00:00,.,1,2\n2016-10-01 00:00:00, .. ,1,2\n2016-10-01 00:00:00,...,1,2\n",
        [
            (line, "id_entity", name, STEP)
            for line, name in ((3, "."), (4, " .. "))
        ],
        good=1,
    ),
    "a geometry for a station": Damage(
        b'2016-10-01 00:00:00,"{""type"":""Point"",""coordinates"":[-3.7,40.4]}",1,2\n',
        [
            (
                3, "id_entity", '{"type":"Point","coordinates":[-3.7,40.4]}',
                "an object, such as a geometry; the station's name is needed",
            )
        ],
    ),
    "station of 300 characters": Damage(
        b"2016-10-01 00:00:00," + b"x" * 300 + b",1,2\n",
        [
            (
                3, "id_entity", "x" * 199 + "…",
                "300 characters; a station's name has at most 200",
            )
        ],
    ),
    "the header again": Damage(HEADER, [(3, "TimeInstant", "TimeInstant", NOT_TIME)]),
    "rows of separators": Damage(b",,,\n" * 100, []),
    "blank lines": Damage(b"\n\r\n \n\t\n", []),
    "end cut off": Damage(
        b"2016-10-01 00:00:00,aq_sal", whole("2 fields, but the header has 4"), last=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_row_is_rejected_with_its_place_and_reason_and_the_others_load(
    damage: Damage,
) -> None:
    good = ROW.replace(b",", b";") if b";" in damage.header else ROW
    data = damage.header + good + damage.lines + (b"" if damage.last else good)
    reading = read(data, **damage.options)
    assert reading.reasons() == damage.rejects
    assert len(reading.rows) == damage.good + (1 if damage.last else 2)


def test_the_three_spellings_of_a_time_are_one_time() -> None:
    reading = read(HEADER + DAMAGES["time in three spellings"].lines)
    assert {row.time for row in reading.rows} == {1475280000000}
