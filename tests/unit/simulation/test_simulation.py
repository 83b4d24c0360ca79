"""Simulated measurements: the same for everybody, in the original's form, and plausible."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from airq.domain.errors import AirqError
from airq.domain.pollutants import NAMES
from airq.simulation import Simulation, write_csv

HOURLY = timedelta(hours=1)


def simulated(simulation: Simulation, rows_per_chunk: int = 16_384) -> bytes:
    """Return the simulation's CSV."""
    file = io.BytesIO()
    write_csv(simulation, file, rows_per_chunk=rows_per_chunk)
    return file.getvalue()


def lines_of(simulation: Simulation) -> list[bytes]:
    """Return the CSV's lines without the header."""
    return simulated(simulation).splitlines()[1:]


@dataclass(frozen=True)
class Series:
    """A simulation without gaps, read back.

    `values` has for each pollutant the shape (moments, stations); `times` are UTC.
    """

    times: list[datetime]
    stations: list[str]
    values: dict[str, npt.NDArray[np.float64]]

    def where(self, wanted: Any) -> npt.NDArray[np.bool_]:
        """Return which moments fulfil a condition on their time."""
        return np.array([bool(wanted(time)) for time in self.times])


def read_back(simulation: Simulation) -> Series:
    """Simulate, and read the CSV with nothing but the standard library."""
    rows = list(csv.DictReader(io.StringIO(simulated(simulation).decode("ascii"))))
    shape = (simulation.moments, simulation.stations)
    moments = rows[:: simulation.stations]
    return Series(
        times=[datetime.fromisoformat(row["TimeInstant"]).replace(tzinfo=UTC) for row in moments],
        stations=[row["id_entity"] for row in rows[: simulation.stations]],
        values={name: np.array([float(row[name]) for row in rows]).reshape(shape) for name in NAMES},
    )


@pytest.fixture(scope="module")
def year() -> Series:
    """A year of seven stations, one of each turn of the kinds."""
    return read_back(Simulation(stations=7, days=365, interval=HOURLY, seed=2))


def test_the_same_arguments_give_the_same_bytes_on_every_machine() -> None:
    simulation = Simulation(stations=5, days=3, seed=20_161_001, gaps=0.1)
    # The digest was taken once. It changes if and only if the simulated air does, and then every
    # sample and benchmark changes with it: take a new one only where that is intended.
    expected = "2b3a480d330ba53e8f7e5c0a463ab28cd9a27c70bf2d8da8d3d8e6d0db0d23d9"
    assert sha256(simulated(simulation)).hexdigest() == expected


def test_another_seed_gives_other_values() -> None:
    one = lines_of(Simulation(stations=3, days=1, seed=1))
    two = lines_of(Simulation(stations=3, days=1, seed=2))
    assert all(first != second for first, second in zip(one, two, strict=True))


@pytest.mark.parametrize("rows_per_chunk", [1, 7, 100, 1_000_000])
def test_the_bytes_do_not_depend_on_the_size_of_the_chunks(rows_per_chunk: int) -> None:
    simulation = Simulation(stations=7, days=2, seed=3, gaps=0.2)
    assert simulated(simulation, rows_per_chunk) == simulated(simulation)


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_more_days_only_add_lines_at_the_end(gaps: float) -> None:
    short = simulated(Simulation(stations=4, days=2, gaps=gaps))
    long = simulated(Simulation(stations=4, days=5, gaps=gaps))
    assert long.startswith(short)
    assert len(long) > len(short)


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_more_stations_only_add_lines_in_between(gaps: float) -> None:
    few = lines_of(Simulation(stations=4, days=2, gaps=gaps))
    many = lines_of(Simulation(stations=100, days=2, gaps=gaps))
    names = {line.split(b",")[1] for line in few}
    assert [line for line in many if line.split(b",")[1] in names] == few


def test_a_later_start_continues_an_earlier_simulation() -> None:
    whole = lines_of(Simulation(stations=4, days=4, gaps=0.1))
    start = datetime(2025, 1, 3, tzinfo=UTC)
    rest = lines_of(Simulation(stations=4, days=2, gaps=0.1, start=start))
    assert whole[-len(rest) :] == rest


def test_a_wider_interval_samples_the_same_air() -> None:
    often = lines_of(Simulation(stations=2, days=1))
    seldom = lines_of(Simulation(stations=2, days=1, interval=HOURLY))
    assert [line for line in often if line[14:16] == b"00"] == seldom


def test_the_form_is_that_of_the_original(real_csv: Path) -> None:
    header, first, *_ = simulated(Simulation(stations=2, days=1)).split(b"\n")
    original = real_csv.read_bytes().split(b"\n", 2)
    assert header == original[0].rstrip(b"\r")
    assert len(first.split(b",")) == len(original[1].split(b","))
    assert len(first.split(b",")[0]) == len(original[1].split(b",")[0])


def test_a_line_reads_as_time_without_zone_then_station_then_decimals() -> None:
    header, first, *_ = simulated(Simulation(stations=1, days=1)).decode("ascii").split("\n")
    time, station, *values = first.split(",")
    assert header == "TimeInstant,id_entity,so2,no2,co,o3,pm10,pm2_5"
    assert (time, station) == ("2025-01-01 00:00:00.000", "aq_toledo")
    assert [len(value.partition(".")[2]) for value in values] == [2, 2, 3, 2, 2, 2]


def test_the_file_ends_with_a_line_feed_and_holds_no_padding() -> None:
    written = simulated(Simulation(stations=80, days=0.1, gaps=0.3))
    assert written.endswith(b"\n")
    assert not set(written) & set(b"\0\r ;") - {ord(" ")}


def test_times_are_utc_whatever_the_zone_of_the_start() -> None:
    madrid = timezone(timedelta(hours=1))
    here = Simulation(stations=1, days=1, start=datetime(2025, 1, 1, 1, tzinfo=madrid))
    assert simulated(here) == simulated(Simulation(stations=1, days=1))


def test_milliseconds_and_moments_before_1970_are_written_as_they_are() -> None:
    start = datetime(1969, 12, 31, 23, 59, 59, 998_000, tzinfo=UTC)
    tiny = Simulation(stations=1, days=4 / 86_400_000, interval=timedelta(milliseconds=1), start=start)
    assert [line[:23].decode() for line in lines_of(tiny)] == [
        "1969-12-31 23:59:59.998",
        "1969-12-31 23:59:59.999",
        "1970-01-01 00:00:00.000",
        "1970-01-01 00:00:00.001",
    ]


def test_lines_are_ordered_by_time_then_station_and_no_two_are_of_the_same() -> None:
    keys = [line.split(b",")[:2] for line in lines_of(Simulation(stations=150, days=0.5, gaps=0.1))]
    assert keys == sorted(keys)
    assert len({tuple(key) for key in keys}) == len(keys)


def test_every_station_has_a_name_of_its_own() -> None:
    one_moment = Simulation(stations=5_000, days=1, interval=timedelta(days=1))
    names = [line.split(b",")[1].decode() for line in lines_of(one_moment)]
    assert len(set(names)) == 5_000
    assert all(name.startswith("aq_") and name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("days", "interval", "moments"),
    [
        (1, timedelta(minutes=15), 96),
        (0.5, timedelta(minutes=15), 48),
        (1, timedelta(hours=7), 4),
        (1, timedelta(days=2), 1),
    ],
)
def test_the_rows_are_as_many_as_foretold(days: float, interval: timedelta, moments: int) -> None:
    simulation = Simulation(stations=3, days=days, interval=interval)
    assert simulation.rows == 3 * moments
    assert write_csv(simulation, io.BytesIO()) == 3 * moments
    assert len(lines_of(simulation)) == 3 * moments


def test_progress_is_reported_up_to_the_rows_written() -> None:
    reports: list[int] = []
    simulation = Simulation(stations=4, days=10, gaps=0.2)
    written = write_csv(simulation, io.BytesIO(), reports.append, rows_per_chunk=400)
    assert len(reports) == 10
    assert reports == sorted(reports)
    assert reports[-1] == written == len(lines_of(simulation)) < simulation.rows


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_the_share_of_missing_values_is_the_one_asked_for(share: float) -> None:
    simulation = Simulation(stations=40, days=60, interval=HOURLY, gaps=share)
    lines = lines_of(simulation)
    cells = [cell for line in lines for cell in line.split(b",")[2:]]
    present = sum(cell != b"" for cell in cells)
    assert 1 - present / (simulation.rows * len(NAMES)) == pytest.approx(share, rel=0.1)
    assert 1 - len(lines) / simulation.rows == pytest.approx(share / 4, rel=0.35, abs=0.001)


def test_gaps_come_in_runs_of_hours() -> None:
    lines = lines_of(Simulation(stations=1, days=90, gaps=0.1))
    missing = [line.split(b",")[5] == b"" for line in lines]
    starts = sum(now and not before for before, now in pairwise(missing))
    assert sum(missing) / starts > 4


def test_what_gaps_leave_is_what_would_have_been_measured() -> None:
    full = {tuple(line.split(b",")[:2]): line for line in lines_of(Simulation(stations=5, days=5))}
    for line in lines_of(Simulation(stations=5, days=5, gaps=0.3)):
        time, station, *cells = line.split(b",")
        whole = full[time, station].split(b",")[2:]
        assert all(cell in (b"", value) for cell, value in zip(cells, whole, strict=True))


def test_with_everything_missing_only_the_header_is_left() -> None:
    simulation = Simulation(stations=3, days=1, gaps=1)
    assert write_csv(simulation, io.BytesIO()) == 0
    assert simulated(simulation).count(b"\n") == 1


def test_no_line_is_without_any_value() -> None:
    lines = lines_of(Simulation(stations=10, days=10, gaps=0.8))
    assert not [line for line in lines if line.endswith(b",,,,,,")]


@pytest.mark.parametrize(
    ("pollutant", "low", "high", "least_maximum"),
    [
        ("so2", 0.1, 150, 30),
        ("no2", 0.5, 350, 100),
        ("co", 0.1, 6, 1.5),
        ("o3", 0.5, 260, 140),
        ("pm10", 1, 400, 80),
        ("pm2_5", 0.5, 250, 40),
    ],
)
def test_a_year_stays_within_what_is_seen_in_europe(
    year: Series, pollutant: str, low: float, high: float, least_maximum: float
) -> None:
    values = year.values[pollutant]
    assert values.min() >= low
    assert least_maximum <= values.max() <= high


def test_fine_particles_are_a_part_of_all_particles(year: Series) -> None:
    assert (year.values["pm2_5"] <= year.values["pm10"]).all()


def test_working_days_have_more_exhaust_than_weekends(year: Series) -> None:
    weekend = year.where(lambda time: time.weekday() >= 5)
    for pollutant in ("no2", "co"):
        values = year.values[pollutant]
        assert (values[~weekend].mean(axis=0) > values[weekend].mean(axis=0)).all()
    no2 = year.values["no2"]
    assert no2[~weekend].mean() > 1.15 * no2[weekend].mean()


def test_a_working_day_has_two_rush_hours(year: Series) -> None:
    working = year.where(lambda time: time.weekday() < 5)
    hours = np.array([time.hour for time in year.times])
    street = year.stations.index("aq_toledo")
    no2 = [year.values["no2"][working & (hours == hour), street].mean() for hour in range(24)]
    assert min(no2[7], no2[18]) > 1.3 * max(no2[3], no2[13])


def test_ozone_and_nitrogen_dioxide_are_opposed_within_the_day(year: Series) -> None:
    for station in range(len(year.stations)):
        days_no2 = year.values["no2"][:, station].reshape(-1, 24)
        days_o3 = year.values["o3"][:, station].reshape(-1, 24)
        no2 = (days_no2 - days_no2.mean(axis=1, keepdims=True)).ravel()
        o3 = (days_o3 - days_o3.mean(axis=1, keepdims=True)).ravel()
        assert np.corrcoef(no2, o3)[0, 1] < -0.25


def test_ozone_is_highest_on_summer_afternoons(year: Series) -> None:
    o3 = year.values["o3"].mean(axis=1)
    summer = year.where(lambda time: time.month in (6, 7, 8))
    winter = year.where(lambda time: time.month in (12, 1, 2))
    hours = np.array([time.hour for time in year.times])
    by_hour = [o3[summer & (hours == hour)].mean() for hour in range(24)]
    assert o3[summer].mean() > 1.5 * o3[winter].mean()
    assert 11 <= int(np.argmax(by_hour)) <= 16


def test_winter_has_more_fine_particles_than_summer(year: Series) -> None:
    fine = year.values["pm2_5"]
    summer = year.where(lambda time: time.month in (6, 7, 8))
    winter = year.where(lambda time: time.month in (12, 1, 2))
    assert (fine[winter].mean(axis=0) > fine[summer].mean(axis=0)).all()


def test_episodes_are_shared_between_the_stations(year: Series) -> None:
    daily = year.values["pm10"].reshape(-1, 24, 7).mean(axis=1)
    between = np.corrcoef(daily.T)
    assert between.min() > 0.4
    assert daily.max(axis=0).min() > 2 * np.median(daily)


def test_neighboring_moments_are_alike(year: Series) -> None:
    for pollutant in NAMES:
        for series in year.values[pollutant].T:
            assert np.corrcoef(series[1:], series[:-1])[0, 1] > 0.6


def test_plumes_of_sulfur_dioxide_come_from_industry(year: Series) -> None:
    highest = dict(zip(year.stations, year.values["so2"].max(axis=0), strict=True))
    others = [value for station, value in highest.items() if station != "aq_cuenca"]
    assert highest["aq_cuenca"] > 1.5 * max(others)


class Counter:
    """A file that only counts its bytes."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes, /) -> None:
        self.size += len(data)


@pytest.fixture
def traced() -> Iterator[None]:
    """Trace allocations during a test."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_memory_does_not_grow_with_the_rows() -> None:
    file = Counter()
    write_csv(Simulation(stations=10, days=50), file)
    _, peak_of_few = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    write_csv(Simulation(stations=10, days=500), file)
    _, peak_of_many = tracemalloc.get_traced_memory()
    assert file.size > 30_000_000
    assert peak_of_many < 1.2 * peak_of_few
    assert peak_of_many < 60_000_000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stations", 0),
        ("stations", -3),
        ("stations", 100_001),
        ("days", 0),
        ("days", -1),
        ("days", float("nan")),
        ("days", float("inf")),
        ("days", 1e-12),
        ("days", 3_000_000),
        ("interval", timedelta(0)),
        ("interval", timedelta(minutes=-15)),
        ("interval", timedelta(microseconds=1500)),
        ("seed", -1),
        ("seed", 2**64),
        ("gaps", 1.5),
        ("gaps", -0.1),
        ("gaps", float("nan")),
        ("start", datetime(2025, 1, 1)),  # noqa: DTZ001 - a time without a zone is what is refused.
        ("start", datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("start", datetime(1900, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        ("start", datetime(2100, 1, 1, tzinfo=UTC)),
        ("start", datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_an_impossible_argument_is_refused_by_name_and_value(field: str, value: Any) -> None:
    arguments: dict[str, Any] = {"stations": 3, "days": 1, field: value}
    shown = value.isoformat() if isinstance(value, datetime) else str(value)
    with pytest.raises(AirqError) as refusal:
        Simulation(**arguments)
    assert str(refusal.value).startswith(f"{field} is {shown}; allowed is ")


def test_nothing_is_simulated_that_could_not_be_loaded() -> None:
    start = datetime(2099, 12, 31, tzinfo=UTC)
    assert Simulation(stations=1, days=1, start=start).moments == 96
    with pytest.raises(
        AirqError, match=r"^days is 1\.01; .* and at most 1 from this start, to the end of 2099"
    ):
        Simulation(stations=1, days=1.01, start=start)
    assert Simulation(stations=1, days=1, start=datetime(1900, 1, 1, tzinfo=UTC)).rows == 96
