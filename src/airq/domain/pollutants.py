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
