"""The OpenAPI document is valid and says all that the routes take."""

from typing import Any

import pytest
import schemathesis

from airq.api.application import ROUTES
from airq.api.openapi import document
from airq.api.parameters import MOST_STATIONS, Parameter
from airq.api.problems import KINDS
from airq.api.routes import LATEST, LISTING
from airq.domain.pollutants import NAMES

PARAMETERS: dict[str, tuple[Parameter, ...]] = {"/air_quality": LISTING, "/air_quality/latest": LATEST}


def test_the_document_is_valid_openapi_3_1() -> None:
    assert document()["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document()).validate()


def test_every_route_is_in_the_document() -> None:
    assert set(document()["paths"]) == {path.replace(":path", "") for path in ROUTES}


@pytest.mark.parametrize("path", document()["paths"])
def test_every_parameter_is_in_the_document(path: str) -> None:
    operation = document()["paths"][path]["get"]
    in_query = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    assert in_query == [parameter.name for parameter in PARAMETERS.get(path, ())]
    in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
    assert all(f"{{{name}}}" in path for name in in_path)
    assert path.count("{") == len(in_path)


@pytest.mark.parametrize("path", document()["paths"])
def test_every_answer_is_described(path: str) -> None:
    operation = document()["paths"][path]["get"]
    assert operation["operationId"]
    assert {"302" if path == "/" else "200", "400", "500"} <= operation["responses"].keys()
    for status, response in operation["responses"].items():
        assert response["description"]
        assert "X-Request-ID" in response["headers"]
        assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))
        for name in ("ETag", "Cache-Tag"):
            assert (name in response["headers"]) == (
                status in ("200", "304") and "304" in operation["responses"]
            )


def test_a_station_may_be_asked_for_as_often_as_the_document_says() -> None:
    for path in PARAMETERS:
        [station] = [
            one for one in document()["paths"][path]["get"]["parameters"] if one["name"] == "station"
        ]
        assert station["schema"]["maxItems"] == MOST_STATIONS


def test_operations_have_names_of_their_own() -> None:
    names = [item["get"]["operationId"] for item in document()["paths"].values()]
    assert len(set(names)) == len(names)


def references(part: Any) -> set[str]:
    """Return everything that a part of the document refers to."""
    if isinstance(part, dict):
        here = {part["$ref"]} if "$ref" in part else set()
        return here.union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


def test_every_reference_leads_somewhere_and_no_schema_is_unused() -> None:
    schemas = {f"#/components/schemas/{name}" for name in document()["components"]["schemas"]}
    assert references(document()) == schemas


def test_schemas_name_every_pollutant_and_kind_of_problem() -> None:
    schemas = document()["components"]["schemas"]
    assert list(schemas["Measurement"]["properties"]) == ["timestamp", "station", *NAMES]
    assert schemas["Problem"]["properties"]["type"]["enum"] == [f"/docs#{kind}" for kind in KINDS]
