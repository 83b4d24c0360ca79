"""What the handlers share: whether the database is there, and what a request asks for."""

from datetime import timedelta
from urllib.parse import urlencode

from hypothesis import assume, example, given
from hypothesis import strategies as st
from starlette.requests import Request

from airq.api.problems import Problem
from airq.api.routes import FORMATS, SETTLED_SECONDS, Service, read_query
from airq.domain.instants import EARLIEST, END, to_datetime
from airq.domain.pollutants import NAMES
from airq.domain.queries import Query
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


def asked(query: str) -> Query:
    return read_query(Request({"type": "http", "query_string": query.encode(), "headers": []}))


BOUNDS = st.one_of(
    st.sampled_from(["1900-01-01", "2099-12-31", "2100-01-01", "2099-12-31T24:00", "2016/10/01 12:30 UTC"]),
    st.builds(
        lambda bound, off, hours: (
            f"{to_datetime(bound + off) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S.%f}{hours:+03d}"
        ),
        st.sampled_from([EARLIEST, END, 0]),
        st.integers(-86_400_000, 86_400_000),
        st.integers(-15, 15),
    ),
)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "station": st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=3),
        "pollutant": st.lists(st.sampled_from([*NAMES, "PM2.5", "Ozone"]), min_size=1),
        "from": BOUNDS,
        "to": BOUNDS,
        "order": st.sampled_from(["asc", "desc"]),
        "limit": st.integers(1, 10_000),
        "format": st.sampled_from(FORMATS),
    },
)


@given(QUERIES, st.integers(EARLIEST, END - 1), st.text(st.characters(codec="utf-8"), min_size=1))
@example({"to": "2099-12-31T24:00", "limit": 1}, 0, "a")
@example({"from": "1900-01-01T00:00:00+14:00"}, 0, "a")
def test_every_link_of_an_answer_asks_for_what_it_should(
    parameters: dict[str, object], time: int, station: str
) -> None:
    try:
        query = asked(urlencode(parameters, doseq=True))
    except Problem:
        assume("from" in parameters or "to" in parameters)  # Nothing else here can be wrong.
        return
    following = query.behind(time, station)
    for linked in (query, following):
        assert asked(linked.canonical()) == linked
