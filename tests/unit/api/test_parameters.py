"""Query strings become values, or problems that say what is allowed."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airq.api.parameters import Parameter, check_range, read_parameters
from airq.api.problems import KINDS, Problem
from airq.api.routes import LISTING
from airq.domain.instants import format_instant


def read_or_refuse(query: bytes, known: tuple[Parameter, ...] = LISTING) -> Problem | None:
    """Return the problem with which a query is answered, or None if it is read."""
    try:
        read_parameters(query, known)
    except Problem as problem:
        return problem
    return None


def problem_of(query: str, known: tuple[Parameter, ...] = LISTING) -> Problem:
    """Return the problem with which a query is answered."""
    problem = read_or_refuse(query.encode(), known)
    assert problem is not None
    return problem


@pytest.mark.parametrize("parameter", LISTING, ids=lambda parameter: parameter.name)
def test_the_example_of_each_parameter_can_be_read(parameter: Parameter) -> None:
    query = urlencode({parameter.name: parameter.example})
    assert list(read_parameters(query.encode(), [parameter])) == [parameter.name]


@pytest.mark.parametrize("parameter", LISTING, ids=lambda parameter: parameter.name)
def test_each_parameter_says_what_is_allowed(parameter: Parameter) -> None:
    assert parameter.allowed
    assert parameter.description.endswith(".")


def test_a_repeatable_parameter_keeps_all_its_values_in_their_order() -> None:
    values = read_parameters(b"station=b&limit=5&station=a&station=b", LISTING)
    assert values == {"station": ["b", "a", "b"], "limit": [5]}


@pytest.mark.parametrize(
    "tracking", ["utm_source=x", "utm_anything=", "gclid=1&fbclid=2", "mc_cid=1&_ga=2", "msclkid"]
)
def test_what_advertising_adds_to_links_is_passed_over(tracking: str) -> None:
    assert read_parameters(f"{tracking}&limit=5".encode(), LISTING) == {"limit": [5]}


@pytest.mark.parametrize("name", ["utm_", "utm", "xgclid", "gclid2", "UTM_SOURCE"])
def test_what_only_looks_like_it_is_not(name: str) -> None:
    assert problem_of(f"{name}=1").kind == "unknown-parameter"


@pytest.mark.parametrize(
    ("spelling", "at"),
    [
        ("2016-10-01T02:00:00+02:00", "2016-10-01T00:00:00.000Z"),
        ("2016-10-01T02:00:00 02:00", "2016-10-01T00:00:00.000Z"),
        ("2016-10-01 02:00:00.5 0200", "2016-10-01T00:00:00.500Z"),
        ("2016-10-01T02:00 02", "2016-10-01T00:00:00.000Z"),
        ("2016-10-01 02:00", "2016-10-01T02:00:00.000Z"),
        ("2016-10-01 02:00:00", "2016-10-01T02:00:00.000Z"),
        ("2016-10-01T24:00 02:00", "2016-10-01T22:00:00.000Z"),
        ("2016-10-01", "2016-10-01T00:00:00.000Z"),
    ],
)
def test_a_plus_that_became_a_space_is_a_plus_again(spelling: str, at: str) -> None:
    values = read_parameters(f"from={quote(spelling)}".encode(), LISTING)
    assert format_instant(values["from"][0]) == at


@given(st.binary(max_size=80))
def test_any_query_is_read_or_a_problem(query: bytes) -> None:
    problem = read_or_refuse(query)
    assert problem is None or KINDS[problem.kind][0] == 400


@given(st.sampled_from(LISTING), st.text(st.characters(codec="utf-8"), max_size=300))
def test_a_value_is_read_or_refused_with_what_is_allowed(parameter: Parameter, text: str) -> None:
    problem = read_or_refuse(urlencode({parameter.name: text}).encode())
    if problem is not None:
        assert problem.members["parameter"] == parameter.name
        assert len(problem.members["value"]) <= 200
        assert text.startswith(problem.members["value"].removesuffix("…"))
        assert problem.members["allowed"] == parameter.allowed
        assert len(problem.detail) < 800


def test_a_route_without_parameters_says_that_there_is_none() -> None:
    problem = problem_of("x=1", ())
    assert "there is none" in problem.detail
    assert problem.members["allowed"] == []


def test_a_range_must_have_moments() -> None:
    check_range(0, 1)
    check_range(None, -5)
    check_range(5, None)
    for start, end in ((1, 1), (2, 1)):
        with pytest.raises(Problem) as caught:
            check_range(start, end)
        assert caught.value.members["parameter"] == "to"
