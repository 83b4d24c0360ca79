"""The guide to Kubernetes is followed up to where a cluster is needed; from there it names what is there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deployment.conftest import Rendered
from tests.deployment.rendering import REPOSITORY, Manifests, Object, render
from tests.deployment.tools import Kustomize
from tests.documents import Command, agrees, commands, read

GUIDE = "docs/how-to/deploy-on-kubernetes.md"
KINDS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "job": "Job",
    "service": "Service",
    "persistentvolumeclaim": "StatefulSet",
}
NEEDS_A_CLUSTER = ("kubectl", "kind", "gcloud", "curl", "make images", "airq", "AIRQ_", "export", ".")
"""How commands begin that need a cluster, an engine, or what runs there; `kubectl kustomize` does not."""


def needs_a_cluster(command: Command) -> bool:
    """Tell whether a command can't be run without a cluster."""
    return command.text.startswith(NEEDS_A_CLUSTER) and not command.text.startswith("kubectl kustomize")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the guide's commands need of a clone, without secrets."""
    clone = tmp_path / "airq"
    clone.mkdir()
    for name in ("Makefile", ".env.example"):
        shutil.copy2(REPOSITORY / name, clone / name)
    shutil.copytree(
        REPOSITORY / "deploy", clone / "deploy", ignore=shutil.ignore_patterns("secrets.env", "__pycache__")
    )
    return clone


def test_every_command_that_needs_no_cluster_does_what_the_guide_says(
    clone: Path, kustomize: Kustomize
) -> None:
    build = " ".join(kustomize.command)
    ran = 0
    for command in commands(read(GUIDE)):
        if needs_a_cluster(command):
            continue
        text = command.text.replace("kubectl kustomize", build)
        done = subprocess.run(
            ["sh", "-c", f"{text} 2>&1"], cwd=clone, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        assert agrees(command.output, done.stdout), f"line {command.line}: {text}\n{done.stdout}"
        ran += 1
    assert ran >= 7


def test_what_the_other_commands_name_is_there(rendered: Rendered) -> None:
    checked = 0
    for command in commands(read(GUIDE)):
        overlay = "development" if "airq-development" in command.text else "production"
        manifests = rendered(f"overlays/{overlay}")
        for kind, name in re.findall(r"\b([a-z]+)/([a-z][a-z0-9-]+)", command.text):
            if kind not in KINDS:
                continue
            held = name.replace("data-database-0", "database").replace("0-2-0", "0-1-0")
            assert manifests.has(KINDS[kind], held), command.text
            checked += 1
        for port, service in re.findall(r"service/([a-z-]+) \d+:(\d+)", command.text):
            ports = [one["port"] for one in manifests.get("Service", port)["spec"]["ports"]]
            assert int(service) in ports, command.text
        for namespace in re.findall(r"--namespace (\S+)|annotate namespace (\S+)", command.text):
            [named] = filter(None, namespace)
            assert manifests.has("Namespace", named), command.text
    assert checked > 15


def running(manifests: Manifests) -> dict[str, Object]:
    """Return what every kind of pods is made of."""
    return {pod.name: pod.spec for pod in manifests.pods()}


def test_an_update_of_the_guide_replaces_one_thing_at_a_time(clone: Path, kustomize: Kustomize) -> None:
    """The API and the jobs first, which costs nothing; the cache and the database each by itself."""
    subprocess.run(["make", "env"], cwd=clone, check=True, capture_output=True)
    overlay = clone / "deploy" / "kubernetes" / "overlays" / "production"
    updates = [command for command in commands(read(GUIDE)) if "newTag: 0.2.0" in command.text]
    before, changed = render(kustomize, overlay), []
    for update in updates:
        subprocess.run(["sh", "-c", update.text], cwd=clone, check=True)
        after = render(kustomize, overlay)
        changed.append({name for name, spec in running(after).items() if running(before)[name] != spec})
        before = after
    assert changed == [{"api", "migrate", "load"}, {"cache"}, {"database"}]
    built = kustomize.build(overlay)
    assert "name: migrate-0-2-0" in built
    assert "name: load-0-2-0" in built
    assert "0.1.0" not in built
    assert "0-1-0" not in built


def test_make_env_writes_secrets_for_every_overlay_and_leaves_what_is_there(clone: Path) -> None:
    examples = list((clone / "deploy").rglob("secrets.env.example"))
    assert len(examples) == 9
    written = clone / "deploy" / "kubernetes" / "overlays" / "staging" / "secrets.env"
    written.write_text("POSTGRES_PASSWORD=mine\nAIRQ_OWNER_PASSWORD=change-me\n")
    done = subprocess.run(["make", "env"], cwd=clone, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "staging/secrets.env: AIRQ_OWNER_PASSWORD is still the placeholder" in done.stderr
    assert "staging/secrets.env: AIRQ_PURGE_TOKEN is missing" in done.stderr
    assert written.read_text().startswith("POSTGRES_PASSWORD=mine")
    for example in set(examples) - {written.with_name("secrets.env.example")}:
        made = example.with_suffix("")
        assert "=change-me" not in made.read_text()
        assert made.stat().st_mode & 0o777 == 0o600
