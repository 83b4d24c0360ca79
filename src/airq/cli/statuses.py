"""Exit statuses besides 0."""

from airq.domain.errors import AirqError, ConfigurationError, UnusableInput

FAILED, MISUSED, PARTIAL, REFUSED = 1, 2, 3, 4
"""The last two are a load's."""


def status_of(error: AirqError) -> int:
    """Return the exit status of a fault."""
    if isinstance(error, ConfigurationError):
        return MISUSED
    return REFUSED if isinstance(error, UnusableInput) else FAILED
