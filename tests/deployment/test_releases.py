"""A release is applied over the one before: what Kubernetes does not let change is the same in both."""

import shutil
from pathlib import Path

import pytest

from tests.deployment.conftest import Rendered
from tests.deployment.rendering import NAME, Manifests, Object, render
from tests.deployment.tools import Kustomize

FIXED = {
    "Deployment": ("selector",),
    "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
    "Service": ("clusterIP",),
}
"""Kind → fields that can't be changed (Kubernetes: the validation of each kind)."""


def fixed(manifests: Manifests) -> dict[tuple[str, str], Object]:
    """Return the fields of all objects that can't be changed."""
    return {
        (one["kind"], one["metadata"]["name"]): {
            field: one["spec"].get(field) for field in FIXED[one["kind"]]
        }
        for one in manifests.of(*FIXED)
    }


@pytest.fixture
def next_release(kustomize: Kustomize, tree: Path) -> Manifests:
    """Production, of another release."""
    place = tree / "overlays" / "next"
    shutil.copytree(tree / "overlays" / "production", place, dirs_exist_ok=True)
    file = place / "kustomization.yaml"
    file.write_text(file.read_text().replace("0.1.0", "0.2.0").replace("0-1-0", "0-2-0"))
    return render(kustomize, place)


def test_another_release_changes_nothing_that_cannot_be_changed(
    rendered: Rendered, next_release: Manifests
) -> None:
    before = rendered("overlays/production")
    assert fixed(next_release) == fixed(before)
    assert len(fixed(before)) == 8
    jobs = [{job["metadata"]["name"] for job in one.of("Job")} for one in (before, next_release)]
    assert jobs == [{"migrate-0-1-0", "load-0-1-0"}, {"migrate-0-2-0", "load-0-2-0"}]


def test_a_releases_label_is_not_in_templates(next_release: Manifests) -> None:
    """Else each release would restart what it does not change, the database too."""
    for pod in next_release.pods():
        assert "app.kubernetes.io/version" not in pod.labels


@pytest.mark.parametrize("overlay", ["overlays/production", "combinations/read-replica"])
def test_claims_have_the_labels_that_are_written_there_and_no_others(
    rendered: Rendered, overlay: str
) -> None:
    """What kustomize adds by itself depends on its version."""
    for one in rendered(overlay).of("StatefulSet"):
        [claim] = one["spec"]["volumeClaimTemplates"]
        assert claim["metadata"] == {"name": "data", "labels": {NAME: one["metadata"]["name"]}}


def test_a_kustomize_that_gives_cluster_objects_no_namespace_renders_them_too(
    kustomize: Kustomize, tree: Path
) -> None:
    """As those behind 5.8 do, which know that these kinds have none."""
    place = tree / "cluster-objects"
    place.mkdir()
    objects = ("keep-data-policy.yaml", "keep-data-binding.yaml")
    for name in objects:
        shutil.copy(tree / "base" / name, place)
    shutil.copy(tree / "transformers" / "take-namespace-off-cluster-objects.yaml", place)
    (place / "kustomization.yaml").write_text(
        f"resources: [{', '.join(objects)}]\ntransformers: [take-namespace-off-cluster-objects.yaml]\n"
    )
    assert [one["metadata"].get("namespace") for one in render(kustomize, place)] == [None, None]
