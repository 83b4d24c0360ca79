"""The API keeps what its own OpenAPI document promises, whatever it is asked."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.api.process import Api

SEED = "20161001"


def fuzz(directory: Path, location: str, *options: str) -> None:
    """Run schemathesis in a directory of its own, with every check."""
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            program, "run", location, "--checks", "all", "--seed", SEED, "--no-shrink",
            "--continue-on-failure", "--generation-database", "none", "--no-color", *options,
        ],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith("SCHEMATHESIS")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_request_fails_or_is_answered_in_an_undocumented_way(api: Api, tmp_path: Path) -> None:
    # Whether a cursor fits or a range ends behind its start, no schema of single parameters can say.
    (tmp_path / "schemathesis.toml").write_text(
        """
        [[operations]]
        include-name = "GET /air_quality"
        checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404"]
        """
    )
    requests = len(api.events("request_finished"))
    fuzz(
        tmp_path,
        f"http://127.0.0.1:{api.port}/openapi.json",
        *("--max-examples", "40", "--phases", "examples,coverage,fuzzing"),
    )
    answered = api.events("request_finished")[requests:]
    assert len(answered) > 300
    assert all(event["status"] < 500 for event in answered)
    assert not api.events("request_failed")
    # The fuzzer found its way past the parameters to the data.
    assert any(event["rows"] for event in answered)


def test_every_query_that_the_document_allows_is_accepted(api: Api, tmp_path: Path) -> None:
    document = api.get("/openapi.json").json()
    document["paths"] = {path: document["paths"][path] for path in ("/air_quality", "/air_quality/latest")}
    stations = api.get("/stations", {"X-Request-ID": "before-the-fuzzer"})
    names = [station["station"] for station in stations.json()["data"]]
    known: dict[str, dict[str, Any]] = {
        "from": {"enum": ["2015-12-31", "2016-01-01T02:00:00+02:00"]},
        "to": {"enum": ["2016-02-29T12:00:00.001Z", "2016-10-02"]},
        "station": {"type": "array", "items": {"enum": names}, "minItems": 1},
    }
    for item in document["paths"].values():
        operation = item["get"]
        operation["parameters"] = [
            parameter | {"schema": known.get(parameter["name"], parameter["schema"])}
            for parameter in operation["parameters"]
            if parameter["name"] != "cursor"
        ]
        for parameter in operation["parameters"]:
            parameter.pop("example", None)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(
        'checks.positive_data_acceptance.expected-statuses = ["200"]\n'
    )
    api.request_event("before-the-fuzzer")
    requests = len(api.events("request_finished"))
    fuzz(
        tmp_path,
        "openapi.json",
        *("--url", f"http://127.0.0.1:{api.port}", "--mode", "positive"),
        *("--max-examples", "30", "--phases", "coverage,fuzzing"),
    )
    routes = [event["route"] for event in api.events("request_finished")[requests:]]
    assert all(routes.count(path) > 20 for path in document["paths"])
