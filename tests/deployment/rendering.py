"""Overlays as kustomize renders them, and what can be asked of their objects."""

import base64
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.make_env import fill
from tests.deployment.tools import Kustomize

REPOSITORY = Path(__file__).resolve().parents[2]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS = sorted(
    str(path.parent.relative_to(KUBERNETES))
    for place in ("overlays", "combinations")
    for path in (KUBERNETES / place).glob("*/kustomization.yaml")
)
NAME, INSTANCE = "app.kubernetes.io/name", "app.kubernetes.io/instance"

Object = dict[str, Any]
SHOWN = pytest.StashKey[dict[str, list[str]]]()
"""Title → lines that are printed when the tests have ended, for people."""

TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")


@dataclass(frozen=True)
class Pod:
    """The pods of one workload.

    Args:
        owner: the Deployment, StatefulSet, Job or CronJob that makes them.
        labels: theirs.
        spec: their specification.
    """

    owner: Object
    labels: dict[str, str]
    spec: Object

    @property
    def name(self) -> str:
        """How tests call them: by their labels, as in "load" and "scheduled-load"."""
        parts = [self.labels[label] for label in (INSTANCE, NAME) if label in self.labels]
        return "-".join(parts) or str(self.owner["metadata"]["name"])

    @property
    def containers(self) -> list[Object]:
        """Init containers, then the others."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def main(self) -> Object:
        """The first container that is not there to initialize."""
        container: Object = self.spec["containers"][0]
        return container

    @property
    def ports(self) -> list[int]:
        """The numbers of all ports of its containers."""
        return [port["containerPort"] for one in self.spec["containers"] for port in one.get("ports", [])]

    def port(self, named: str | int) -> int | None:
        """Return the number of a container's port, by its number or name."""
        for container in self.spec["containers"]:
            for port in container.get("ports", []):
                if named in (port.get("name"), port["containerPort"]):
                    number: int = port["containerPort"]
                    return number
        return None


class Manifests(list[Object]):
    """The objects of one rendered overlay."""

    def of(self, *kinds: str) -> list[Object]:
        """Return the objects of these kinds."""
        return [one for one in self if one["kind"] in kinds]

    def get(self, kind: str, name: str) -> Object:
        """Return an object by kind and name; a generated name may be given without its hash."""
        hashed = re.compile(re.escape(name) + "(-[a-z0-9]{10})?")
        [found] = [one for one in self.of(kind) if hashed.fullmatch(one["metadata"]["name"])]
        return found

    def has(self, kind: str, name: str) -> bool:
        """Tell whether there is an object of exactly this kind and name."""
        return any(one["metadata"]["name"] == name for one in self.of(kind))

    def pods(self) -> Iterator[Pod]:
        """Give the pods of every workload."""
        for owner in self.of(*TEMPLATES):
            template = owner
            for part in TEMPLATES[owner["kind"]]:
                template = template[part]
            yield Pod(owner, template["metadata"].get("labels", {}), template["spec"])

    def pod(self, name: str) -> Pod:
        """Return the pods with a label."""
        [found] = [pod for pod in self.pods() if pod.name == name]
        return found

    def environment(self, container: Object) -> dict[str, str]:
        """Return the variables that a container gets, $(references) replaced.

        A reference that leads nowhere leaves its variable out; a rule of its own looks for these.
        """
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if key in source and self.has(kind, source[key]["name"]):
                    values |= _data(self.get(kind, source[key]["name"]))
        for variable in container.get("env", []):
            value = variable.get("value")
            for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                reference = variable.get("valueFrom", {}).get(key)
                if reference:
                    held = self.of(kind)
                    found = [one for one in held if one["metadata"]["name"] == reference["name"]]
                    value = _data(found[0]).get(reference["key"]) if found else "from-elsewhere"
            if value is not None:
                known = dict(values)
                values[variable["name"]] = re.sub(
                    r"\$\(([A-Za-z_][\w.-]*)\)",
                    lambda at, known=known: known.get(at[1], at[0]),  # type: ignore[misc]
                    value,
                )
        return values


def _data(one: Object) -> dict[str, str]:
    data: dict[str, str] = one.get("data", {})
    if one["kind"] == "ConfigMap":
        return data
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def name_of(one: Object) -> str:
    """Return how a message calls an object."""
    return f"{one['kind']} {one['metadata']['name']}"


def copy_with_secrets(target: Path) -> Path:
    """Copy what kustomize reads, with secrets in each overlay as `make env` writes them."""
    shutil.copytree(REPOSITORY / "deploy", target, ignore=shutil.ignore_patterns("secrets.env"))
    for example in target.rglob("secrets.env.example"):
        example.with_suffix("").write_text(fill(example.read_text()))
    return target / "kubernetes"


def render(kustomize: Kustomize, directory: Path) -> Manifests:
    """Build an overlay."""
    return Manifests(yaml.safe_load_all(kustomize.build(directory)))
