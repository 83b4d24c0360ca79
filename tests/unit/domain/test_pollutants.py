"""Pollutants and units, in the spellings that people write."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airq.domain.pollutants import NAMES, POLLUTANTS, find_pollutant, find_unit, normalize, split_unit


def test_the_names_are_those_of_the_public_contract() -> None:
    assert NAMES == ("so2", "no2", "co", "o3", "pm10", "pm2_5")
    assert [p.unit for p in POLLUTANTS] == ["µg/m³", "µg/m³", "mg/m³", "µg/m³", "µg/m³", "µg/m³"]


@pytest.mark.parametrize("pollutant", POLLUTANTS, ids=lambda pollutant: str(pollutant.name))
def test_a_pollutant_is_found_by_its_name_formula_and_spellings(pollutant: object) -> None:
    for p in POLLUTANTS:
        for spelling in (p.name, p.name.upper(), p.formula, *p.spellings, f" {p.name} "):
            assert (find_pollutant(spelling) is pollutant) == (p is pollutant)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("PM2.5", "pm2_5"), ("pm 2,5", "pm2_5"), ("PM25", "pm2_5"), ("PM₂.₅", "pm2_5"),
        ("PM-10", "pm10"), ("Ozone", "o3"), ("Sulphur Dioxide", "so2"), ("sulfur dioxide", "so2"),
        ("Nitrogen_Dioxide", "no2"), ("carbon monoxide", "co"),
    ],
)  # fmt: skip
def test_spellings_that_people_write_are_known(spelling: str, name: str) -> None:
    found = find_pollutant(spelling)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("spelling", ["", "no", "nox", "co2", "pm1", "pm100", "o", "so2x", "pm2"])
def test_what_is_no_pollutant_of_airq_is_not_found(spelling: str) -> None:
    assert find_pollutant(spelling) is None


def test_no_spelling_means_two_pollutants() -> None:
    spellings = [spelling for p in POLLUTANTS for spelling in {normalize(p.name), *p.spellings}]
    assert len(spellings) == len(set(spellings))
    assert spellings == [normalize(spelling) for spelling in spellings]


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [
        ("µg/m³", "µg/m³"), ("μg/m3", "µg/m³"), ("ug/m3", "µg/m³"), ("ug/m^3", "µg/m³"),
        ("µg m⁻³", "µg/m³"), ("ug.m-3", "µg/m³"), ("UGM3", "µg/m³"), ("mcg/m3", "µg/m³"),
        ("mg/m³", "mg/m³"), ("mg m-3", "mg/m³"), ("ng/m3", "ng/m³"), ("ppb", "ppb"), ("ppbv", "ppb"),
        ("PPM", "ppm"), ("", None), ("%", None), ("g", None), ("GT", None), ("AQI", None),
    ],
)  # fmt: skip
def test_a_units_spellings_are_known(spelling: str, unit: str | None) -> None:
    assert find_unit(spelling) == unit


@pytest.mark.parametrize(
    ("spelling", "name", "unit"),
    [
        ("no2_ug/m3", "no2", "µg/m³"),
        ("CO mg m-3", "CO", "mg/m³"),
        ("pm25ugm3", "pm25", "µg/m³"),
        ("pm10", "pm10", None),
        ("ppb", "ppb", None),
        ("co", "co", None),
        ("", "", None),
    ],
)
def test_a_unit_at_a_names_end_is_parted_from_it(spelling: str, name: str, unit: str | None) -> None:
    assert split_unit(spelling) == (name, unit)


@settings(deadline=None)
@given(st.text(), st.sampled_from(["ug/m3", "µg/m³", "ppb", "mg/m3", "ppm"]))
def test_what_is_parted_is_the_whole(text: str, unit: str) -> None:
    name, found = split_unit(f"x{text}_{unit}")
    assert found == find_unit(unit)
    assert f"x{text}".startswith(name)
