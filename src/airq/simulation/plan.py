"""What is to be simulated: how many stations, for how long, how often, with how many gaps."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from airq.domain.errors import AirqError
from airq.domain.instants import EARLIEST, END, to_datetime, to_milliseconds

MOST_STATIONS: Final = 100_000
_MILLISECOND: Final = timedelta(milliseconds=1)


class SimulationError(AirqError):
    """A simulation was asked for that can't be made."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The synthetic measurements of some stations over some time.

    A value depends on the seed, the station and the moment alone. More days or more stations
    therefore add rows and change none, and a later `start` continues an earlier simulation.

    Args:
        stations: How many stations measure, 1 to 100,000.
        days: For how many days, above 0 and to the end of 2099; fractions are allowed.
        interval: From one measurement of a station to its next, a whole number of milliseconds.
        seed: Which of the possible simulations, 0 to 2**64 - 1.
        gaps: The share of values that are missing on average, 0 to 1. They are missing in runs of
            hours, as when an instrument is out of order: about three quarters are empty cells, the
            rest are rows left out because the station was down. A row without any value is left
            out as well.
        start: The time of the first measurement, with a time zone, a whole number of milliseconds, not
            before 1900.

    Raises:
        SimulationError: An argument is outside of what is allowed.
    """

    stations: int
    days: float
    interval: timedelta = timedelta(minutes=15)
    seed: int = 1
    gaps: float = 0.0
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        """Refuse what can't be simulated."""
        _require(
            1 <= self.stations <= MOST_STATIONS,
            "stations",
            self.stations,
            f"1 to {MOST_STATIONS:,}",
        )
        _require(
            self.interval >= _MILLISECOND and self.interval % _MILLISECOND == timedelta(0),
            "interval",
            self.interval,
            "a whole number of milliseconds, at least one",
        )
        _require(0 <= self.seed < 2**64, "seed", self.seed, f"0 to {2**64 - 1}")
        _require(0 <= self.gaps <= 1, "gaps", self.gaps, "a share, 0 to 1")
        _require(
            self.start.utcoffset() is not None and self.start.microsecond % 1000 == 0,
            "start",
            self.start.isoformat(),
            "a time with a time zone, in whole milliseconds",
        )
        # Other times could be written and not be loaded.
        _require(
            EARLIEST <= self.start_ms < END,
            "start",
            self.start.isoformat(),
            "from 1900 to 2099, in UTC",
        )
        most_days = (to_datetime(END) - self.start) / timedelta(days=1)
        shown_days = math.floor(most_days * 10) / 10
        _require(
            0 < self.days <= most_days and self._duration_ms > 0,
            "days",
            self.days,
            f"more than 0, and at most {shown_days:,g} from this start, to the end of 2099",
        )

    @property
    def rows(self) -> int:
        """How many rows there are if nothing is missing."""
        return self.stations * self.moments

    @property
    def moments(self) -> int:
        """How many times each station measures."""
        return -(-self._duration_ms // self.interval_ms)

    @property
    def interval_ms(self) -> int:
        """The interval in milliseconds."""
        return self.interval // _MILLISECOND

    @property
    def start_ms(self) -> int:
        """The start in milliseconds since 1970-01-01 UTC."""
        return to_milliseconds(self.start)

    @property
    def _duration_ms(self) -> int:
        return round(self.days * 86_400_000)


def _require(allowed: bool, field: str, value: object, what_is_allowed: str) -> None:
    """Raise, naming the field, unless its value is allowed."""
    if not allowed:
        raise SimulationError(f"{field} is {value}; allowed is {what_is_allowed}.")
