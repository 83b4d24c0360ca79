"""Every overlay and combination keeps the project's rules, and has exactly the parts that it says."""

import pytest

from tests.deployment.conftest import Rendered
from tests.deployment.rendering import KUBERNETES, LONG_RUNNING, OVERLAYS, SHOWN, Manifests
from tests.deployment.rules import RULES, network

COMPONENTS = {path.parent.name for path in (KUBERNETES / "components").glob("*/kustomization.yaml")}
PARTS = {("Deployment", "api", 5), ("StatefulSet", "database", 1), ("Deployment", "cache", 1)}


def long_running(manifests: Manifests) -> set[tuple[str, str, int | None]]:
    """Return what runs long: kind, name and number of pods, None where an autoscaler decides."""
    return {
        (one["kind"], one["metadata"]["name"], one["spec"].get("replicas"))
        for one in manifests.of(*LONG_RUNNING)
    }


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rule_is_kept(rendered: Rendered, overlay: str, rule: str) -> None:
    assert RULES[rule](rendered(overlay)) == []


@pytest.mark.parametrize("overlay", ["overlays/staging", "overlays/production"])
def test_five_api_one_database_one_cache_and_nothing_else_run_long(rendered: Rendered, overlay: str) -> None:
    assert long_running(rendered(overlay)) == PARTS
    assert rendered(overlay).of("CronJob") == []


@pytest.mark.parametrize(
    ("overlay", "parts"),
    [
        ("overlays/development", PARTS - {("Deployment", "api", 5)} | {("Deployment", "api", 2)}),
        ("combinations/autoscaling", PARTS - {("Deployment", "api", 5)} | {("Deployment", "api", None)}),
        ("combinations/external-database", PARTS - {("StatefulSet", "database", 1)}),
        ("combinations/read-replica", PARTS | {("StatefulSet", "database-replica", 1)}),
        ("combinations/gateway", PARTS),
        ("combinations/ingress", PARTS),
        ("combinations/scheduled-load", PARTS),
        ("combinations/external-secrets", PARTS),
    ],
)
def test_other_overlays_differ_where_they_say_so(
    rendered: Rendered, overlay: str, parts: set[tuple[str, str, int | None]]
) -> None:
    assert long_running(rendered(overlay)) == parts


def test_every_component_has_a_readme_and_is_tested_in_an_overlay() -> None:
    used = "\n".join((KUBERNETES / overlay / "kustomization.yaml").read_text() for overlay in OVERLAYS)
    assert len(COMPONENTS) == 8
    for component in COMPONENTS:
        assert f"components/{component}\n" in used, component
        assert (KUBERNETES / "components" / component / "README.md").exists(), component


def test_every_overlay_has_names_of_its_own(rendered: Rendered) -> None:
    """Those of objects that belong to no namespace, of which a cluster has one each."""
    wide = ("Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    names = [
        (one["kind"], one["metadata"]["name"]) for overlay in OVERLAYS for one in rendered(overlay).of(*wide)
    ]
    assert len(set(names)) == len(names) > len(OVERLAYS)


def test_the_public_name_stands_in_routes_as_the_overlay_says(rendered: Rendered) -> None:
    ingress = rendered("combinations/ingress").get("Ingress", "cache")
    assert ingress["spec"]["rules"][0]["host"] == "air.example.org"
    assert ingress["spec"]["tls"][0]["hosts"] == ["air.example.org"]
    gateway = rendered("combinations/gateway")
    assert [route["spec"]["hostnames"] for route in gateway.of("HTTPRoute")] == [["air.example.org"]] * 2
    listeners = gateway.get("Gateway", "cache")["spec"]["listeners"]
    assert [listener["hostname"] for listener in listeners] == ["air.example.org"] * 2


def test_production_has_each_edge_once(rendered: Rendered, request: pytest.FixtureRequest) -> None:
    manifests = rendered("overlays/production")
    found = sorted(network.edges(manifests))
    assert set(found) == network.needed_edges(manifests)
    assert len(found) == len(set(found))
    shown = [f"{one['kind']:32} {one['metadata']['name']}" for one in manifests]
    shown += [f"{source:20} -> {target:20} {port}" for source, target, port in found]
    request.config.stash.setdefault(SHOWN, {})["objects and edges of production"] = shown
