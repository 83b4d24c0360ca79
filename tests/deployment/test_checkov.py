"""checkov's policies for Kubernetes hold, but for the exceptions that are written and justified in place."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deployment.conftest import Rendered
from tests.deployment.rendering import KUBERNETES, OVERLAYS, Manifests
from tests.deployment.tools import tool

CONFIGURATION = KUBERNETES / "checkov.yaml"


def failed(manifests: Manifests, directory: Path) -> list[str]:
    """Return the policies that are broken, each with the object."""
    file = directory / "objects.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    command = [tool("checkov"), "--config-file", CONFIGURATION, "--file", file, "--output", "json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["summary"]["passed"] > 300
    return [f"{one['check_id']} {one['resource']}" for one in said["results"]["failed_checks"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_policy_is_broken(rendered: Rendered, overlay: str, tmp_path: Path) -> None:
    assert failed(rendered(overlay), tmp_path) == []


def test_a_broken_policy_is_found(rendered: Rendered, tmp_path: Path) -> None:
    manifests = rendered("overlays/production")
    del manifests.pod("api").main["securityContext"]["readOnlyRootFilesystem"]
    assert failed(manifests, tmp_path) == ["CKV_K8S_22 Deployment.airq-production.api"]


def test_every_exception_is_needed_and_justified(rendered: Rendered, tmp_path: Path) -> None:
    lines = CONFIGURATION.read_text().splitlines()
    exceptions = [number for number, line in enumerate(lines) if line.startswith("  - CKV")]
    assert exceptions
    assert all(lines[number - 1].lstrip().startswith("#") for number in exceptions)
    kept = tmp_path / "checkov.yaml"
    kept.write_text("framework: [kubernetes]\nquiet: true\nskip-download: true\n")
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(rendered("overlays/production")))
    command = [tool("checkov"), "--config-file", kept, "--file", file, "--output", "json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    broken = {one["check_id"] for one in json.loads(done.stdout)["results"]["failed_checks"]}
    assert broken == {lines[number].strip("- ") for number in exceptions}
