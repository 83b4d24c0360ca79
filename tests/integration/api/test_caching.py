"""What caches are told: tags of each version, that nothing changed, what changed."""

import gzip
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import Database
from tests.integration.api import listing
from tests.integration.api.conftest import Serve, load
from tests.integration.api.listing import Row
from tests.integration.api.process import Answer, Api
from tests.integration.sessions import is_at, session, wait_until

TARGETS = (
    "/air_quality", "/air_quality?limit=5", "/air_quality?format=csv", "/air_quality?format=csv&limit=5",
    "/air_quality?format=ndjson", "/air_quality?station=Zulu", "/air_quality?from=2016-01-01&to=2016-02-01",
    "/air_quality?station=Zulu&from=2016-01-01&to=2016-02-01", "/air_quality/latest",
    "/air_quality/latest?station=Zulu", "/air_quality/latest?format=csv", "/stations", "/stations/Zulu",
    "/pollutants",
)  # fmt: skip


def test_each_query_and_format_has_its_own_tag(api: Api) -> None:
    tags = [api.get(target).headers["etag"] for target in TARGETS]
    assert len(set(tags)) == len(TARGETS)
    assert all(tag.startswith('W/"') for tag in tags)
    by_header = api.get("/air_quality", {"Accept": "text/csv"}).headers["etag"]
    assert by_header == api.get("/air_quality?format=csv").headers["etag"]


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_client_has_is_not_sent_again(api: Api, target: str) -> None:
    first = api.get(target)
    tag = first.headers["etag"]
    opaque = tag.removeprefix("W/")
    for known in (tag, opaque, f'"other", {tag}', f'W/"other",{opaque} , "x"', "*", f'"a,b", {tag}'):
        again = api.get(target, {"If-None-Match": known})
        assert (again.status, again.body) == (304, b""), known
        for name in ("etag", "cache-control", "vary", "cache-tag"):
            assert again.headers[name] == first.headers[name]
        assert again.headers["content-type"] is None
        head = api.get(target, {"If-None-Match": known}, method="HEAD")
        assert (head.status, head.body) == (304, b"")


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_client_does_not_have_is_sent(api: Api, target: str) -> None:
    other = api.get("/air_quality?limit=77").headers["etag"]
    for known in (
        other,
        '"x"',
        "x",
        "",
        '"',
        'W/"0-0"',
        '"' + "f" * 200 + '-0"',
        "é".encode().decode("latin-1"),
    ):
        answer = api.get(target, {"If-None-Match": known})
        assert answer.status == 200, known
        assert answer.body


def test_good_answers_may_be_kept_and_by_shared_caches_longer(api: Api) -> None:
    for target in TARGETS:
        control = api.get(target).headers["cache-control"]
        assert control.startswith("public, max-age=60, s-maxage=600, stale-while-revalidate=")
        assert "stale-if-error=86400" in control


@pytest.mark.parametrize("target", ["/livez", "/readyz", "/", "/nothing", "/air_quality?limit=0"])
def test_what_holds_for_a_moment_is_never_kept(api: Api, target: str) -> None:
    assert api.get(target).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("target", ["/air_quality", "/air_quality?format=csv", "/stations"])
@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        (None, False),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("br, deflate", False),
        ("gzip", True),
        ("GZip", True),
        ("br, gzip;q=0.5", True),
        ("deflate, x-gzip", True),
    ],
)
def test_answers_are_compressed_for_those_who_accept_it(
    api: Api, target: str, accepted: str | None, compressed: bool
) -> None:
    plain = api.get(target, {"Accept-Encoding": "identity"})
    # http.client would ask for identity by itself.
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    if accepted is None:
        head = api.raw(f"{request}\r\n".encode()).partition(b"\r\n\r\n")[0].lower()
        assert b"content-encoding" not in head
        return
    answer = api.get(target, {"Accept-Encoding": accepted})
    assert answer.headers["content-encoding"] == ("gzip" if compressed else None)
    assert (gzip.decompress(answer.body) if compressed else answer.body) == plain.body
    assert answer.headers.get_all("vary") == ["Accept, Accept-Encoding"]
    assert answer.headers["etag"] == plain.headers["etag"]


def test_small_answers_are_not_compressed(api: Api) -> None:
    answer = api.get("/air_quality?limit=1", {"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] is None
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


@pytest.fixture
def publishing(serve: Serve, database: Database, tmp_path: Path) -> Iterator[tuple[Api, "Publishing"]]:
    """An API process, and what changes its data."""
    data = Publishing(database, tmp_path)
    data.publish("a", 2020, 1, 1.0)
    data.publish("b", 2020, 2, 1.0)
    with serve(database) as api:
        yield api, data


class Publishing:
    """Loads single rows into a database."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.database, self._path = database, directory / "row.csv"

    def publish(self, station: str, year: int, month: int, value: float) -> None:
        """Load one measurement of a station in a month."""
        row = Row(datetime(year, month, 5, tzinfo=UTC), station, (value,) * 6)
        listing.write_csv([row], self._path)
        load(self.database, self._path)


def test_a_load_changes_the_tags_of_what_it_touched_and_no_others(
    publishing: tuple[Api, Publishing],
) -> None:
    api, data = publishing
    january, february = "from=2020-01-01&to=2020-02-01", "from=2020-02-01&to=2020-03-01"
    touched = [
        "/air_quality", "/air_quality?format=csv", "/air_quality?station=a", f"/air_quality?{january}",
        f"/air_quality?station=a&station=b&{january}", f"/air_quality?station=a&{january}&limit=1",
        "/air_quality?from=2019-12-31T23:00:00Z&to=2020-01-01T00:00:00.001Z", "/air_quality?from=2021-01-01",
        "/air_quality/latest", "/air_quality/latest?station=a", "/stations", "/stations/a", "/stations/b",
    ]  # fmt: skip
    untouched = [
        "/air_quality?station=b", f"/air_quality?{february}", f"/air_quality?station=a&{february}",
        f"/air_quality?station=b&{january}", "/air_quality/latest?station=b", "/pollutants",
        "/air_quality?from=2019-12-01&to=2020-01-01",
    ]  # fmt: skip
    before = {target: api.get(target).headers["etag"] for target in touched + untouched}
    data.publish("a", 2020, 1, 2.0)
    for target in touched:
        answer = api.get(target, {"If-None-Match": before[target]})
        assert answer.status == 200, target
        assert answer.headers["etag"] != before[target]
    for target in untouched:
        assert api.get(target, {"If-None-Match": before[target]}).status == 304, target


@pytest.mark.parametrize("conditional", [False, True])
def test_the_tag_of_an_export_is_of_its_rows_although_a_load_commits_before_it_begins(
    serve: Serve, database: Database, tmp_path: Path, conditional: bool
) -> None:
    data = Publishing(database, tmp_path)
    data.publish("a", 2020, 1, 1.0)
    target, headers, answers = "/air_quality?format=csv", dict[str, str](), dict[int, Answer]()

    def ask(number: int) -> None:
        answers[number] = api.get(target, headers)

    # Of two connections one does exports: the second export waits for the first, that for the lock.
    with serve(database, AIRQ_POOL_SIZE="2") as api:
        if conditional:
            # A tag of this query and an older version.
            _, _, query = api.get(target).headers["etag"].partition("-")
            headers["If-None-Match"] = f'W/"1-{query}'
        with session(database, "LOCK airq.measurement IN ACCESS EXCLUSIVE MODE") as loading:
            exports = [Thread(target=ask, args=(number,)) for number in range(2)]
            exports[0].start()
            wait_until(lambda: is_at(loading, "SELECT", waiting=True))
            exports[1].start()
            time.sleep(0.5)
            loading.run("UPDATE airq.measurement SET so2 = 7")
            loading.run("UPDATE airq.coverage SET version = version + 1")
            loading.run("COMMIT")
            for export in exports:
                export.join()
        settled = api.get(target)
    assert b",7.0," in answers[1].body
    for answer in (answers[0], answers[1]):
        same_tag = answer.headers["etag"] == settled.headers["etag"]
        assert same_tag == (answer.body == settled.body)


def test_the_first_rows_of_a_month_change_the_tag_of_its_empty_listing(
    publishing: tuple[Api, Publishing],
) -> None:
    api, data = publishing
    target = "/air_quality?station=a&from=2022-05-01&to=2022-06-01"
    empty = api.get(target)
    assert empty.json()["data"] == []
    data.publish("a", 2022, 5, 1.0)
    assert api.get(target, {"If-None-Match": empty.headers["etag"]}).json()["meta"]["count"] == 1


def test_a_304_reads_no_measurement(publishing: tuple[Api, Publishing]) -> None:
    api, data = publishing
    targets = [
        "/air_quality", "/air_quality?station=a", "/air_quality?format=csv", "/air_quality/latest",
        "/air_quality/latest?station=a&format=ndjson", "/stations", "/stations/a",
    ]  # fmt: skip
    tags = {target: api.get(target).headers["etag"] for target in targets}
    data.database.execute(
        """
        CREATE FUNCTION airq.refuse() RETURNS boolean LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'a measurement was read'; END $$
        """,
        "ALTER TABLE airq.measurement RENAME TO hidden",
        "CREATE VIEW airq.measurement AS SELECT * FROM airq.hidden WHERE airq.refuse()",
        "GRANT SELECT ON airq.measurement TO airq_reader",
    )
    for target, tag in tags.items():
        assert api.get(target).status == 500, target
        assert api.get(target, {"If-None-Match": tag}).status == 304, target
        assert api.get(target, {"If-None-Match": "*"}).status == 304, target


def test_a_cache_is_told_what_drops_an_answer(api: Api) -> None:
    tags = {
        "/air_quality": "all",
        "/air_quality?from=2016-01-01": "all",
        "/air_quality?from=2016-01-15&to=2016-03-01": "m:2016-01,m:2016-02",
        "/air_quality?station=aq%20plain": "s:aq%20plain",
        "/air_quality?station=Zulu&from=2015-12-31&to=2016-01-02": "s:Zulu/2015-12,s:Zulu/2016-01",
        "/air_quality?station=%C3%BF&station=comma,%20name": "s:comma%2C%20name,s:%C3%BF",
        "/air_quality/latest": "all",
        "/stations": "all",
    }  # fmt: skip
    assert {target: api.get(target).headers["cache-tag"] for target in tags} == tags
