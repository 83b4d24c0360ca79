"""Exit statuses besides 0."""

from airq.domain.errors import AirqError, ConfigurationError, Unfetched, UnusableInput

FAILED, MISUSED, PARTIAL, REFUSED = 1, 2, 3, 4
"""The last two are a load's."""

GRAVITY = (0, PARTIAL, REFUSED, FAILED)
"""Of the files of one load the gravest tells; what may succeed at the next try goes before what won't."""


def status_of(error: AirqError) -> int:
    """Return the exit status of a fault."""
    if isinstance(error, ConfigurationError):
        return MISUSED
    is_refused = isinstance(error, UnusableInput) and not isinstance(error, Unfetched)
    return REFUSED if is_refused else FAILED
