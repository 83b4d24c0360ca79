"""Which columns a header names, in the spellings that are out there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airq.domain.errors import UnusableInput
from airq.domain.pollutants import NAMES
from airq.ingest.header import SEPARATORS, STATION_SPELLINGS, TIME_SPELLINGS, Header, parse_header
from tests.unit.ingest.reading import THOROUGH, bits, read


def named(header: Header) -> dict[str, str]:
    """Return what each column with a meaning is called in the file."""
    places = {"time": header.time, "station": header.station, **header.pollutants}
    return {meaning: header.names[place] for meaning, place in places.items()}


def test_the_public_files_header_is_read() -> None:
    header = parse_header("TimeInstant,id_entity,so2,no2,co,o3,pm10,pm2_5")
    assert header.separator == ","
    assert (header.time, header.station) == (0, 1)
    assert header.pollutants == dict(zip(NAMES, range(2, 8), strict=True))
    assert header.extra == ()
    assert not header.time_is_utc


@pytest.mark.parametrize("spelling", TIME_SPELLINGS)
def test_each_spelling_of_the_time_will_do(spelling: str) -> None:
    header = parse_header(f"station;{spelling.upper()};O3")
    assert header.time == 1
    assert header.time_is_utc == spelling.endswith("utc")


@pytest.mark.parametrize("spelling", STATION_SPELLINGS)
def test_each_spelling_of_the_station_will_do(spelling: str) -> None:
    assert parse_header(f"{spelling.title()}\ttime\tO3").station == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", ["", " ({})", " [{}]", "_{}", "({})", " {{{}}}", " {}"])
def test_a_pollutant_may_tell_the_unit_that_is_kept(name: str, unit: str) -> None:
    spellings = ("mg/m³", "mg/m3", "mg m-3") if name == "co" else ("µg/m³", "μg/m3", "ug/m^3", "ugm3")
    for spelling in spellings:
        header = parse_header(f"time,station,{name.upper()}{unit.format(spelling)}")
        assert header.pollutants == {name: 2}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", ["ppb", "ppm", "PPBV", "ng/m3", "the unit of the others"])
def test_a_pollutant_in_another_unit_is_refused(name: str, unit: str) -> None:
    if unit.startswith("the"):
        unit = "µg/m3" if name == "co" else "mg/m3"
    for spelled in (f"{name} ({unit})", f"{name}_{unit}", f"{name} [{unit}]"):
        with pytest.raises(UnusableInput, match=r"column 3 “.*” is in .*convert its values"):
            parse_header(f"time,station,{spelled},temperature")


def test_a_column_in_another_unit_is_without_use_beside_one_in_the_right_unit() -> None:
    header = parse_header("time,station,no2_ppb,no2,co (ppm),co (mg/m3)")
    assert header.pollutants == {"no2": 3, "co": 5}
    assert header.extra == ("no2_ppb", "co (ppm)")


def test_a_column_with_an_unknown_note_is_without_use() -> None:
    header = parse_header("time,station,so2,PM10 (AQI),PT08.S1(CO),o3 (8h)")
    assert header.pollutants == {"so2": 2}
    assert header.extra == ("PM10 (AQI)", "PT08.S1(CO)", "o3 (8h)")


def test_a_file_with_nothing_but_unknown_notes_is_refused_with_how_to_name_them() -> None:
    with pytest.raises(UnusableInput) as refusal:
        parse_header("time,station,PM10 (corrected)")
    assert str(refusal.value) == (
        "no pollutant column (at least one of so2, no2, co, o3, pm10, pm2_5); "
        "what “PM10 (corrected)” means is not clear; if it is PM₁₀ in µg/m³, name it pm10; "
        "columns found: time, station, PM10 (corrected)"
    )


@pytest.mark.parametrize(
    ("line", "time", "station", "extra"),
    [
        ("id,station,time,o3", "time", "station", ("id",)),
        ("location,station,time,o3", "time", "station", ("location",)),
        ("station_name,station_id,time,o3", "time", "station_id", ("station_name",)),
        ("date,time,station,o3", "time", "station", ("date",)),
        ("date,timestamp,time,station,o3", "timestamp", "station", ("date", "time")),
        ("Timestamp,Timestamp (UTC),station,o3", "Timestamp (UTC)", "station", ("Timestamp",)),
        ("id,sensor_id,id_entity,site,date,o3", "date", "id_entity", ("id", "sensor_id", "site")),
    ],
)
def test_of_several_names_the_clearest_is_taken_and_the_others_are_without_use(
    line: str, time: str, station: str, extra: tuple[str, ...]
) -> None:
    header = parse_header(line)
    assert named(header) == {"time": time, "station": station, "o3": "o3"}
    assert header.extra == extra


@pytest.mark.parametrize(
    "line", ["time,Time,station,o3", "time,station,Station,o3", "time,station,o3,Ozone (µg/m³)"]
)
def test_the_same_name_twice_is_refused(line: str) -> None:
    with pytest.raises(UnusableInput, match=r"column \d “.*” and column \d “.*” mean the same"):
        parse_header(line)


def test_nameless_columns_at_the_end_are_no_matter() -> None:
    header = parse_header("Timestamp;Station;O3;;")
    assert (header.names, header.extra) == (("Timestamp", "Station", "O3", "", ""), ())


def test_the_separator_is_the_one_that_gives_columns_with_a_meaning() -> None:
    header = parse_header('time;station;pm10;"wind, rain, snow, hail, sun"')
    assert header.separator == ";"
    assert header.extra == ("wind, rain, snow, hail, sun",)


@THOROUGH
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=60))
def test_any_line_is_a_header_or_refused(line: str) -> None:
    try:
        separator, message = parse_header(line).separator, ""
    except UnusableInput as refusal:
        separator, message = "", str(refusal)
    assert bool(message) != (separator in SEPARATORS)
    assert message.isprintable()


def test_a_long_header_is_refused_with_its_beginning() -> None:
    with pytest.raises(UnusableInput) as refusal:
        parse_header("time,station," + "x" * 60_000)
    assert len(str(refusal.value)) < 500


# Forms of files as other publishers write them.


def test_a_file_of_sensor_community_loads() -> None:
    reading = read(
        b"sensor_id;sensor_type;location;lat;lon;timestamp;P1;durP1;ratioP1;P2;durP2;ratioP2\n"
        b"92;SDS011;42;48.80;9.00;2022-01-01T00:00:03;12.50;;;7.25;;\n"
    )
    assert reading.measurements() == [("92", 1640995203000, {"pm10": bits(12.5), "pm2_5": bits(7.25)})]
    assert reading.extra[:2] == ("sensor_type", "location")


FIWARE = b"""\
id,type,dateObserved,NO2,CO,address,location
Madrid-28079004,AirQualityObserved,2016-03-15T11:00:00Z,45,0.5,"{""addressCountry"":""ES""}",\
"{""type"":""Point"",""coordinates"":[-3.712247222,40.423852777]}"
"""


@pytest.mark.parametrize("without", [b"nothing", b"type,", b"Observed"])
def test_a_file_of_a_fiware_data_model_loads(without: bytes) -> None:
    other = {b"type,": b"kind,"}.get(without, b"")
    reading = read(FIWARE.replace(without, other, 1))
    assert reading.measurements() == [("Madrid-28079004", 1458039600000, {"no2": bits(45), "co": bits(0.5)})]
    assert "location" in reading.extra


def test_a_location_is_the_station_where_nothing_says_otherwise() -> None:
    assert named(parse_header("id,location,time,o3"))["station"] == "location"
    assert named(parse_header("type,location,time,o3"))["station"] == "location"
    assert named(parse_header("id,type,station_name,time,o3"))["station"] == "station_name"


@pytest.mark.parametrize(
    "line",
    [
        "timestamp;station;P1;P2;o3",
        "sensor_id;timestamp;P1;P2;o3",
        "sensor_id;sensor_type;timestamp;P1;P2;PM10;o3",
    ],
)
def test_elsewhere_p1_and_p2_mean_nothing(line: str) -> None:
    header = parse_header(line)
    assert {"P1", "P2"} <= set(header.extra)
    assert "pm2_5" not in header.pollutants


UCI = (
    "Date;Time;CO(GT);PT08.S1(CO);NMHC(GT);C6H6(GT);PT08.S2(NMHC);NOx(GT);PT08.S3(NOx);NO2(GT);"
    "PT08.S4(NO2);PT08.S5(O3);T;RH;AH;;"
)


def test_a_file_with_date_and_time_apart_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnusableInput) as refusal:
        parse_header(UCI)
    assert str(refusal.value) == (
        "no station column (id_entity, station, station_id or site); "
        "“Date” and “Time” must be one column, as in 2016-10-01 18:00:00; columns found: "
        + UCI.replace(";;", ";(no name);(no name)").replace(";", ", ")
    )


def test_rows_with_date_and_time_apart_are_rejected_with_what_to_do() -> None:
    reading = read(f"Station;{UCI}\na;10/03/2004;18.00.00;2,6;1360{';1' * 8};;;;;\n".encode())
    assert reading.reasons() == [
        (
            2,
            "Time",
            "18.00.00",
            "a time of day without its date; write both in one column, as in 2016-10-01 18:00:00",
        )
    ]
    assert reading.extra[0] == "Date"


def test_a_joined_file_of_uci_loads() -> None:
    header = parse_header(UCI.replace("Date;Time", "Station;Time"))
    assert named(header) == {"time": "Time", "station": "Station", "co": "CO(GT)", "no2": "NO2(GT)"}


NEEDED = "a row must have a time, a station, and a column for each pollutant (so2, no2, co, o3, pm10, pm2_5)"
MADRID = "PROVINCIA;MUNICIPIO;ESTACION;MAGNITUD;PUNTO_MUESTREO;ANO;MES;DIA;" + ";".join(
    f"H{hour:02d};V{hour:02d}" for hour in range(1, 25)
)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value",
            "it has one value a row, in “value” of the pollutant in “parameter”",
        ),
        (
            "Samplingpoint,Pollutant,Start,End,Value,Unit,AggType,Validity",
            "it has one value a row, in “Value” of the pollutant in “Pollutant”",
        ),
        (
            '"State Code","Date GMT","Time GMT","Sample Measurement","Units of Measure"',
            "it has one value a row, in “Sample Measurement”",
        ),
        (
            "recvTimeTs,recvTime,entityId,entityType,attrName,attrType,attrValue",
            "it has one value a row, in “attrValue” of the pollutant in “attrName”",
        ),
        (MADRID, "it has a column for each hour (“H01” to “H24”)"),
        (
            "station,date,pollutant," + ",".join(f"{hour:02d}:00" for hour in range(24)),
            "it has a column for each hour (“00:00” to “23:00”)",
        ),
        (
            "station;date;" + ";".join(str(hour) for hour in range(1, 25)),
            "it has a column for each hour (“1” to “24”)",
        ),
    ],
    ids=["OpenAQ", "EEA", "EPA", "FIWARE Cygnus", "Madrid", "hours of a clock", "hours by number"],
)
def test_a_file_of_another_form_is_refused_with_the_form_that_it_has(line: str, told: str) -> None:
    with pytest.raises(UnusableInput) as refusal:
        parse_header(line)
    assert str(refusal.value).startswith(f"{told}; {NEEDED}; columns found: ")
    assert len(str(refusal.value)) < 500
