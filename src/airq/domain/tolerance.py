"""How many faulty rows a load puts up with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """The most rejected rows: a share (0 to 1) of the rows read, or, if given, a number of rows."""

    share: float = 0.05
    rows: int | None = None

    def allows(self, rejected: int, rows_read: int) -> bool:
        """Tell whether a load with so many rejected rows goes through."""
        most = self.rows if self.rows is not None else self.share * rows_read
        return rejected <= most

    def __str__(self) -> str:
        return f"{self.rows:,} rows" if self.rows is not None else f"{self.share * 100:g} %"
