"""What is known about the stations."""

from dataclasses import dataclass

from airq.domain.errors import AirqError


@dataclass(frozen=True)
class Station:
    """A place where air is measured, and the span of its measurements.

    Args:
        name: its identifier in the data.
        measurements: how many there are.
        first, last: time of the oldest and the newest one, milliseconds since 1970; None without any.
    """

    name: str
    measurements: int
    first: int | None
    last: int | None


class UnknownStation(AirqError):
    """No station has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no station is called “{name[:200]}”")
        self.name = name
