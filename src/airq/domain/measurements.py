"""Measurements on their way from the store to a representation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Columns:
    """Measurements in their order, by column: thousands of them are converted at little cost so.

    Args:
        times: in milliseconds since 1970.
        stations: names, one for each time.
        values: of each pollutant that was asked for, one for each time; a missing one is None.
    """

    times: Sequence[int] = ()
    stations: Sequence[str] = ()
    values: Sequence[Sequence[float | None]] = ()

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]]) -> Self:
        """Return the columns of rows `(time, station, *values)`."""
        columns = list(zip(*rows, strict=True))
        return cls(columns[0], columns[1], columns[2:]) if columns else cls()

    def __len__(self) -> int:
        """Return how many measurements these are."""
        return len(self.times)

    def first(self, count: int) -> "Columns":
        """Return the first measurements, at most so many of them."""
        return Columns(self.times[:count], self.stations[:count], [values[:count] for values in self.values])
