"""The pollutants that airq knows, their units and the spellings found in files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pollutant:
    """A pollutant as it is stored and served.

    Args:
        name: the identifier in the API, in the database and in CSV headers.
        formula: how people write it.
        label: its name in words.
        unit: the unit of every stored value.
        spellings: other header names for it, in lower case, without the separators that
            `normalize` takes out.
    """

    name: str
    formula: str
    label: str
    unit: str
    spellings: tuple[str, ...] = ()


POLLUTANTS: tuple[Pollutant, ...] = (
    Pollutant("so2", "SO₂", "sulfur dioxide", "µg/m³", ("sulfurdioxide", "sulphurdioxide")),
    Pollutant("no2", "NO₂", "nitrogen dioxide", "µg/m³", ("nitrogendioxide",)),
    Pollutant("co", "CO", "carbon monoxide", "mg/m³", ("carbonmonoxide",)),
    Pollutant("o3", "O₃", "ozone", "µg/m³", ("ozone",)),
    Pollutant("pm10", "PM₁₀", "particulate matter below 10 µm", "µg/m³"),
    Pollutant("pm2_5", "PM₂.₅", "particulate matter below 2.5 µm", "µg/m³", ("pm25",)),
)

NAMES: tuple[str, ...] = tuple(pollutant.name for pollutant in POLLUTANTS)

# Separators, subscripts and case carry no meaning in a header: "PM2.5", "pm_2_5" and "PM₂.₅" are one.
_SEPARATORS = str.maketrans("₀₁₂₃₅", "01235", " _-.,")


def normalize(spelling: str) -> str:
    """Reduce a spelling to lower case without separators, subscripts as digits."""
    return spelling.translate(_SEPARATORS).lower()


_BY_SPELLING = {
    spelling: pollutant
    for pollutant in POLLUTANTS
    for spelling in (normalize(pollutant.name), *pollutant.spellings)
}


def find_pollutant(spelling: str) -> Pollutant | None:
    """Return the pollutant that a spelling means ("PM2.5", "pm25", "Ozone"), or None."""
    return _BY_SPELLING.get(normalize(spelling))


_UNITS = {
    "ugm3": "µg/m³", "mcgm3": "µg/m³", "mgm3": "mg/m³", "ngm3": "ng/m³",
    "ppb": "ppb", "ppbv": "ppb", "ppm": "ppm", "ppmv": "ppm",
}  # fmt: skip
"""Spellings of units, as `normalize` leaves them when the strokes and exponents are taken out too."""

# Both the micro sign and the Greek letter are in use, and both fall back to a u on many keyboards.
_UNIT_MARKS = str.maketrans("µμ³", "uu3", "/^*⁻−")

_LONGEST_UNIT = 12
"""Characters of " mcg / m**-3" and the like."""


def find_unit(spelling: str) -> str | None:
    """Return the unit of a concentration that a spelling means ("ug/m3", "µg m⁻³", "ppb"), or None."""
    return _UNITS.get(normalize(spelling.translate(_UNIT_MARKS)))


def split_unit(spelling: str) -> tuple[str, str | None]:
    """Part a header such as "no2_ug/m3" or "CO ppm" into its name and the unit at its end, if any."""
    for place in range(max(len(spelling) - _LONGEST_UNIT, 1), len(spelling)):
        unit = find_unit(spelling[place:])
        if unit is not None:
            return spelling[:place], unit
    return spelling, None
