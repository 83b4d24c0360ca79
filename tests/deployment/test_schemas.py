"""Every overlay builds, and its objects are what Kubernetes takes: the oldest version, and the newest."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deployment.conftest import Rendered
from tests.deployment.rendering import KUBERNETES, OVERLAYS, Manifests, render
from tests.deployment.tools import (
    Kustomize,
    custom_resource_faults,
    install_crd_schemas,
    run,
    tool,
)

OLDEST = "1.30"
CUSTOM = ("gateway.networking.k8s.io", "external-secrets.io")


def newest_kubernetes() -> str:
    """Return the newest version whose schemas are installed."""
    said = run(tool("kubernetes-validate"), "--help")
    return said.rpartition("Defaults to ")[2].split()[0].rpartition(".")[0]


def is_custom(one: dict[str, object]) -> bool:
    """Tell whether an object's kind is none of Kubernetes' own."""
    return str(one["apiVersion"]).split("/")[0] in CUSTOM


def validate(manifests: Manifests, version: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    """Validate strictly: a property that the schema does not know is a fault."""
    file = directory / "objects.yaml"
    file.write_text(yaml.safe_dump_all([one for one in manifests if not is_custom(one)]))
    command = [tool("kubernetes-validate"), "--strict", "--quiet", "--kubernetes-version", version, file]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def schemas() -> Path:
    """Schemas of custom resources."""
    return install_crd_schemas()


def test_the_newest_schemas_are_newer_than_the_oldest() -> None:
    assert tuple(map(int, newest_kubernetes().split("."))) >= (1, 32)


@pytest.mark.parametrize("version", [OLDEST, "newest"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_it(rendered: Rendered, overlay: str, version: str, tmp_path: Path) -> None:
    done = validate(rendered(overlay), newest_kubernetes() if version == "newest" else version, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", [OLDEST, "newest"])
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("Deployment", {"replica": 5}),
        ("StatefulSet", {"replicas": "five"}),
        ("NetworkPolicy", {"igress": []}),
    ],
)
def test_a_fault_in_an_object_is_found(
    rendered: Rendered, kind: str, fault: dict[str, object], version: str, tmp_path: Path
) -> None:
    manifests = rendered("overlays/production")
    manifests.of(kind)[0]["spec"].update(fault)
    done = validate(manifests, newest_kubernetes() if version == "newest" else version, tmp_path)
    assert done.returncode != 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_custom_resources_are_what_their_schemas_say(rendered: Rendered, overlay: str, schemas: Path) -> None:
    custom = [one for one in rendered(overlay) if is_custom(one)]
    assert bool(custom) == (overlay in ("combinations/gateway", "combinations/external-secrets"))
    assert custom_resource_faults(custom, schemas) == []


def test_a_fault_in_a_custom_resource_is_found(rendered: Rendered, schemas: Path) -> None:
    [secret] = [one for one in rendered("combinations/external-secrets") if is_custom(one)]
    secret["spec"]["data"][0]["remoteRef"]["kee"] = secret["spec"]["data"][0]["remoteRef"].pop("key")
    gateway, route, redirect = (one for one in rendered("combinations/gateway") if is_custom(one))
    gateway["spec"]["listeners"][0]["port"] = "eighty"
    route["spec"]["hostname"] = "air.example.org"
    redirect["spec"]["rules"] = {}
    redirect["apiVersion"] = "gateway.networking.k8s.io/v9"
    found = custom_resource_faults([secret, gateway, route, redirect], schemas)
    expected = (
        "data/0/remoteRef/kee is not known",
        "listeners/0/port",
        "spec/hostname is not known",
        "no schema",
    )
    assert all(any(part in fault for fault in found) for part in expected), found


def test_an_overlay_without_its_secrets_is_told_so(kustomize: Kustomize) -> None:
    example = KUBERNETES / "overlays" / "production"
    if (example / "secrets.env").exists():
        pytest.skip("secrets.env was made here")
    with pytest.raises(AssertionError, match=r"secrets\.env"):
        render(kustomize, example)
