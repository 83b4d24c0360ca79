"""A check that can't fail is a defect: each rule notices the faults that it is for."""

import pytest

from tests.deployment.conftest import Rendered
from tests.deployment.mutations import MUTATIONS, Mutation
from tests.deployment.rendering import SHOWN
from tests.deployment.rules import RULES


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_the_rule_notices_the_fault(
    rendered: Rendered, mutation: Mutation, request: pytest.FixtureRequest
) -> None:
    manifests = rendered(mutation.overlay)
    rule = RULES[mutation.rule]
    assert rule(manifests) == []
    mutation.make(manifests)
    noticed = rule(manifests)
    assert noticed != []
    shown = request.config.stash.setdefault(SHOWN, {}).setdefault("mutations, each noticed by its rule", [])
    shown.append(f"{mutation} -> {noticed[0]}")


def test_every_rule_has_a_mutation() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(RULES)


def test_no_mutation_is_there_twice() -> None:
    assert len({str(mutation) for mutation in MUTATIONS}) == len(MUTATIONS)
