"""Components go together, two by two, on production; what an overlay must add for a pair is written here."""

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.rendering import KUBERNETES, render
from tests.deployment.rules import RULES
from tests.deployment.tools import Kustomize

COMPONENTS = sorted(path.parent.name for path in (KUBERNETES / "components").glob("*/kustomization.yaml"))
NEVER_TOGETHER = {("external-database", "read-replica")}
"""A replica follows the primary in the cluster."""

PAIRS = sorted(set(combinations(COMPONENTS, 2)) - NEVER_TOGETHER)
Overlay = dict[str, Any]


def _name_external_database(overlay: Overlay) -> None:
    """Production's settings for the database in the cluster go; an address comes."""
    example = yaml.safe_load((KUBERNETES / "combinations/external-database/kustomization.yaml").read_text())
    kept = [one for one in overlay["configMapGenerator"] if one["name"] != "database-settings"]
    overlay["configMapGenerator"] = kept + example["configMapGenerator"]
    overlay["patches"] += example["patches"]


def _leave_secrets_to_the_manager(overlay: Overlay) -> None:
    del overlay["secretGenerator"]
    if "../../components/read-replica" in overlay["components"]:
        entry = {
            "secretKey": "AIRQ_REPLICATION_PASSWORD",
            "remoteRef": {"key": "airq-replication-password"},
        }
        patch = yaml.safe_dump([{"op": "add", "path": "/spec/data/-", "value": entry}])
        overlay["patches"].append({"target": {"kind": "ExternalSecret", "name": "secrets"}, "patch": patch})


NEEDS: dict[str, Callable[[Overlay], None]] = {
    "external-database": _name_external_database,
    "external-secrets": _leave_secrets_to_the_manager,
}
"""What else an overlay with a component must say (its README says so)."""


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_a_pair_of_components_keeps_every_rule(
    kustomize: Kustomize, tree: Path, pair: tuple[str, str]
) -> None:
    place = tree / "overlays" / "-".join(pair)
    shutil.copytree(tree / "overlays" / "production", place)
    shutil.copy2(tree / "combinations" / "read-replica" / "secrets.env", place)
    overlay = yaml.safe_load((place / "kustomization.yaml").read_text())
    overlay["components"] = [f"../../components/{component}" for component in pair]
    for component in pair:
        if component in NEEDS:
            NEEDS[component](overlay)
    (place / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    manifests = render(kustomize, place)
    faults = {name: rule(manifests) for name, rule in RULES.items()}
    assert {name: found for name, found in faults.items() if found} == {}


def test_a_scheduled_load_waits_for_the_replica_as_the_releases_load_does(
    kustomize: Kustomize, tree: Path
) -> None:
    place = tree / "overlays" / "waiting"
    shutil.copytree(tree / "combinations" / "read-replica", place)
    file = place / "kustomization.yaml"
    both = "components:\n  - ../../components/scheduled-load\n"
    file.write_text(file.read_text().replace("components:\n", both))
    manifests = render(kustomize, place)
    scheduled, released = manifests.pod("scheduled-load"), manifests.pod("load")
    assert scheduled.spec == released.spec
    assert "AIRQ_REPLICA_URL" in manifests.environment(scheduled.main)
    policy = scheduled.owner["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]
    assert policy == released.owner["spec"]["podFailurePolicy"]
