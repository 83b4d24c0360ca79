"""Brought up from nothing, the service serves the CSV, keeps it, and loads only what is new."""

import time
from dataclasses import replace

from tests.containers import csv_files
from tests.containers.service import Service, eventually
from tests.ports import free_port

COLD_START_SECONDS = 30.0
STALE_SECONDS = 10.0
"""For how long behind a load an old answer may still be given (docs/explanation/caching.md)."""

EVERYTHING = "/air_quality?limit=10000"


def test_from_nothing_the_service_answers_within_30_seconds(compose_project: Service) -> None:
    compose_project.down("--volumes")
    began = time.monotonic()
    compose_project.up()
    answer = compose_project.get(EVERYTHING)
    seconds = time.monotonic() - began
    assert answer.status == 200
    assert seconds < COLD_START_SECONDS
    assert compose_project.measurements() == csv_files.read(compose_project.csv)
    [entry] = compose_project.loads()
    assert (entry["outcome"], entry["inserted"]) == ("loaded", len(csv_files.read(compose_project.csv)))


def test_up_builds_what_is_not_there(compose_project: Service) -> None:
    """Each image once: several services run the API's, and built side by side its name would be taken."""
    tag = "built-by-up"
    names = [f"airq-{image}:{tag}" for image in ("api", "cache", "database")]
    other = replace(
        compose_project, name=f"{compose_project.name}-built", port=free_port(), settings={"AIRQ_TAG": tag}
    )
    try:
        other.compose("up", "--detach", "--wait", timeout_seconds=900)
        assert other.get(EVERYTHING).status == 200
        for name in names:
            other.engine.docker("image", "inspect", name)
    finally:
        other.down("--volumes")
        other.engine.docker("image", "rm", *names, check=False)


def test_the_service_serves_what_the_csv_holds_and_the_second_answer_is_a_hit(service: Service) -> None:
    service.compose("restart", "cache")
    service.up()
    expected = csv_files.read(service.csv)
    assert service.get(EVERYTHING).cache == "miss"
    assert service.measurements() == expected
    assert service.get(EVERYTHING).cache == "hit"
    assert service.measurements() == expected


def test_a_second_up_loads_nothing(service: Service) -> None:
    before, loaded = service.run("api", "airq", "verify"), len(service.loads())
    service.up()
    entry, *others = service.loads()
    assert len(others) == loaded
    assert (entry["outcome"], entry["inserted"], entry["changed"]) == ("unchanged", 0, 0)
    assert service.run("api", "airq", "verify") == before


def test_the_ledger_knows_the_csv_by_its_own_name(service: Service) -> None:
    assert {entry["file"] for entry in service.loads()} == {service.csv.name}


def test_a_changed_csv_loads_the_difference_and_only_the_touched_month_is_fetched_again(
    service: Service,
) -> None:
    january, february, march = (
        f"/air_quality?station=aq_two&from=2025-0{month}-01&to=2025-0{month + 1}-01" for month in (1, 2, 3)
    )
    for target in (january, february, march):
        service.get(target)
        assert service.get(target).cache == "hit"
    key = ("2025-02-10T12:00:00.000Z", "aq_two")
    first_rows = "\n".join(
        line for line in service.csv.read_text().splitlines()[1:] if not line.startswith("2025-")
    )
    csv_files.write(service.csv, first_rows, changes={key: 987.5})
    service.up()
    [entry] = [entry for entry in service.loads() if entry["changed"]]
    assert (entry["inserted"], entry["changed"]) == (0, 1)

    def served() -> float:
        rows = service.get(february).json()["data"]
        [value] = [row["so2"] for row in rows if (row["timestamp"], row["station"]) == key]
        assert isinstance(value, float)
        return value

    eventually(lambda: served() == 987.5, STALE_SECONDS, "the new value")
    assert service.get(january).cache == "hit"
    assert service.get(march).cache == "hit"
    expected = csv_files.read(service.csv)
    eventually(lambda: service.measurements() == expected, STALE_SECONDS, "all of the new values")


def test_down_and_up_keeps_the_data(service: Service) -> None:
    before = service.run("api", "airq", "verify")
    loads = len(service.loads())
    service.down()
    service.up()
    assert service.run("api", "airq", "verify") == before
    assert len(service.loads()) == loads + 1
    assert service.measurements() == csv_files.read(service.csv)
