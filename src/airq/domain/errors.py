"""What can go wrong in a way that a person has to read about."""


class AirqError(Exception):
    """A fault whose message is written for the person at the keyboard.

    The message names the thing that is wrong, the value that was found and what is allowed, and, where
    there is one, the next step. The command line prints it without a traceback.
    """


class ConfigurationError(AirqError):
    """A setting is missing, malformed or contradicts another one."""


class UnusableInput(AirqError):
    """A file or stream as a whole can't be read as air-quality measurements."""


class Unfetched(UnusableInput):
    """A file could not be had, through no fault of its own: at another time it may be."""
