"""Which versions of an answer a client has already."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownVersions:
    """Versions of the data that a client has; false where it has none, `1 in known` where it has that one.

    Args:
        numbers: the versions.
        whichever: it has the current one, whichever that is.
    """

    numbers: tuple[int, ...] = ()
    whichever: bool = False

    def __bool__(self) -> bool:
        """Whether the client has any."""
        return self.whichever or bool(self.numbers)

    def __contains__(self, version: int) -> bool:
        """Whether the client has this one, if it is current."""
        return self.whichever or version in self.numbers
