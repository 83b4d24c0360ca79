"""Where the simulated instruments stand, and what kind of air passes there."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from airq.simulation.noise import Floats, Noise

# Towns, so that a chart of simulated data reads like one of real data.
_TOWNS: Final = (
    "toledo", "segovia", "cuenca", "ronda", "almagro", "puertollano", "trujillo", "ubeda",
    "avila", "baeza", "astorga", "soria", "tudela", "jaca", "olite", "huesca", "teruel",
    "daroca", "morella", "lorca", "totana", "yecla", "elda", "xativa", "alcoy", "denia",
    "gandia", "sagunto", "onda", "reus", "valls", "berga", "vic", "olot", "ripoll", "tremp",
    "llivia", "evora", "tavira", "coimbra", "braga", "guarda", "elvas", "tomar", "arles",
    "nimes", "cahors", "albi", "pau", "bayonne", "lucca", "siena", "urbino", "matera",
    "trento", "udine", "graz", "bregenz", "passau", "bamberg", "goslar", "leuven", "namur",
    "delft", "zwolle", "lund", "ystad",
)  # fmt: skip


@dataclass(frozen=True)
class _Kind:
    """The usual air at one kind of place; concentrations in µg/m³, CO in mg/m³.

    Attributes:
        no2: Mean NO2.
        co: Mean CO above what is everywhere.
        so2: Mean SO2 without a plume.
        plume: Scale of the SO2 that a plume brings, and of the NO2 and PM10 that come with it.
        fine: Mean PM2.5.
        coarse: Mean of what PM10 holds beyond PM2.5.
        traffic_share: How much of the local air follows the traffic, 0 to 1.
    """

    no2: float
    co: float
    so2: float
    plume: float
    fine: float
    coarse: float
    traffic_share: float


# Chosen by eye for plausible charts, fitted to nothing; what matters is how the kinds differ.
_TRAFFIC: Final = _Kind(no2=38, co=0.38, so2=4.0, plume=0, fine=13, coarse=13, traffic_share=0.85)
_URBAN: Final = _Kind(no2=22, co=0.25, so2=3.0, plume=3, fine=11, coarse=9, traffic_share=0.70)
_INDUSTRIAL: Final = _Kind(no2=19, co=0.28, so2=6.0, plume=22, fine=13, coarse=14, traffic_share=0.50)
_RURAL: Final = _Kind(no2=6, co=0.06, so2=1.5, plume=1, fine=7, coarse=6, traffic_share=0.35)

# The kinds take turns, so that the first four stations show all of them already.
_TURNS: Final = (_TRAFFIC, _URBAN, _INDUSTRIAL, _RURAL, _URBAN, _TRAFFIC, _URBAN)


class Stations:
    """The stations in the order of their names, one array of shape (stations,) per property."""

    def __init__(self, count: int, seed: int) -> None:
        """Place the stations.

        Args:
            count: How many there are; the first ones are the same for every count.
            seed: The simulation's seed.
        """
        names = [_name(number) for number in range(count)]
        self.numbers = np.array(sorted(range(count), key=names.__getitem__), dtype=np.int64)
        self.names = [names[number] for number in self.numbers]
        kinds = [_TURNS[number % len(_TURNS)] for number in self.numbers]

        def levels(channel: str, usual: list[float], spread: float) -> Floats:
            noise = Noise(seed, f"level of {channel}", self.numbers)
            own: Floats = np.exp(spread * noise.normal(np.zeros((1, 1), dtype=np.int64))[0])
            return np.array(usual) * own

        self.no2 = levels("no2", [kind.no2 for kind in kinds], 0.15)
        self.co = levels("co", [kind.co for kind in kinds], 0.15)
        self.so2 = levels("so2", [kind.so2 for kind in kinds], 0.2)
        self.plume = levels("plume", [kind.plume for kind in kinds], 0.3)
        self.fine = levels("fine", [kind.fine for kind in kinds], 0.15)
        self.coarse = levels("coarse", [kind.coarse for kind in kinds], 0.2)
        self.ozone = levels("ozone", [1.0] * count, 0.05)
        self.dust = levels("dust", [1.0] * count, 0.2)
        self.traffic_share = np.array([kind.traffic_share for kind in kinds])


def _name(number: int) -> str:
    """Name a station after a town, with a running number once all towns are taken."""
    town = _TOWNS[number % len(_TOWNS)]
    lap = number // len(_TOWNS)
    return f"aq_{town}_{lap + 1}" if lap else f"aq_{town}"
