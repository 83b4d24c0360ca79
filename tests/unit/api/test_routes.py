"""What the handlers share: whether the database is there."""

from airq.api.routes import SETTLED_SECONDS, Service
from airq.store.measurements import Measurements
from airq.telemetry.events import DatabaseFound, DatabaseLost, Event, Telemetry


def test_a_database_is_lost_once_and_found_once_although_answers_still_trickle_in() -> None:
    events: list[Event] = []
    now = 100.0
    store = Measurements("postgresql://nowhere/airq", 2, 1)
    service = Service(store, Telemetry(events.append), "no-store", clock=lambda: now)
    service.database_answered()
    assert events == []
    for reason in ("first", "second"):
        service.database_failed(reason)
        # A request that was under way when the database was lost.
        service.database_answered()
    assert events == [DatabaseLost("first")]
    now += SETTLED_SECONDS * 3
    service.database_answered()
    service.database_answered()
    assert events == [DatabaseLost("first"), DatabaseFound(SETTLED_SECONDS * 3)]
    service.database_failed("third")
    assert events[2:] == [DatabaseLost("third")]
