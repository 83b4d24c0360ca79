"""What the driver's faults are called outside of the store."""

import asyncpg

from airq.store.connections import DatabaseUnavailable, SessionExpired, translate


def at_the_end_of_a_transaction(cause: Exception) -> Exception:
    """Return what the driver raises when a session is gone before its transaction could be ended."""
    try:
        try:
            raise cause
        except Exception:
            raise asyncpg.InterfaceError("the underlying connection is closed")  # noqa: B904 as the driver does
    except Exception as error:
        return error


def test_a_session_that_waited_too_long_is_no_lost_database() -> None:
    expired = asyncpg.IdleInTransactionSessionTimeoutError("terminating connection")
    for error in (expired, at_the_end_of_a_transaction(expired)):
        assert isinstance(translate(error), SessionExpired)
    ours = SessionExpired("waited")
    assert translate(at_the_end_of_a_transaction(ours)) is ours


def test_a_session_that_was_ended_from_outside_is_a_lost_database() -> None:
    ended = asyncpg.AdminShutdownError("terminating connection")
    for error in (ended, at_the_end_of_a_transaction(ended), asyncpg.InterfaceError("closed")):
        assert isinstance(translate(error), DatabaseUnavailable)
