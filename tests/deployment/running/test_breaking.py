# ruff: noqa: E501 - A table with one fault a line can be read; wrapped, it could not.
"""A runner that can't fail is a defect: each fault that a schema lets pass keeps a pod from coming up here."""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import pytest

from tests.deployment.mutations import MAIN, POD, drop, put
from tests.deployment.rendering import SHOWN, Manifests
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.conftest import BREAKING
from tests.deployment.running.fields import Unsupported
from tests.deployment.running.objects import only_pods
from tests.deployment.running.pods import Pod

STARTS = 4
"""How often a startup probe is asked here, in the place of a minute or more; good pods need about two."""


@dataclass(frozen=True)
class Fault:
    """A fault in a manifest.

    Args:
        pods: whose.
        what: is wrong, in words.
        make: puts it into the objects.
        told: what must be said of it.
    """

    pods: str
    what: str
    make: Callable[[Manifests], None]
    told: str

    def __str__(self) -> str:
        return f"{self.pods}: {self.what}"


API, CACHE, DATABASE = ("Deployment", "api"), ("Deployment", "cache"), ("StatefulSet", "database")
MIGRATE, LOAD = ("Job", "migrate-0-1-0"), ("Job", "load-0-1-0")

FAULTS = [
    Fault("api", "the startup probe asks a wrong path", put(*API, f"{MAIN}/startupProbe/httpGet/path", "/live"), "status 404"),
    Fault("api", "the command is none", put(*API, f"{MAIN}/args", ["server"]), "No such command"),
    Fault("api", "the entrypoint is none", put(*API, f"{MAIN}/command", ["airqd"]), "executable file not found"),
    Fault("api", "an image that nobody built", put(*API, f"{MAIN}/image", "airq-api:9.9.9"), "airq-api:9.9.9"),
    Fault("api", "too little memory", put(*API, f"{MAIN}/resources/limits/memory", "32Mi"), "not enough memory"),
    Fault("api", "a ConfigMap without its hash", put(*API, f"{MAIN}/envFrom/0/configMapRef/name", "api-settings"), "no ConfigMap api-settings"),
    Fault("api", "a setting that is not allowed", put("ConfigMap", "api-settings", "data/AIRQ_POOL_SIZE", "ten"), "AIRQ_POOL_SIZE"),
    Fault("api", "a field that the runner does not know", put(*API, f"{POD}/hostNetwork", True), "hostNetwork"),
    Fault("cache", "nowhere to compile the rules", drop(*CACHE, f"{MAIN}/volumeMounts/1"), "Read-only file system"),
    Fault("cache", "the place to compile is mounted elsewhere", put(*CACHE, f"{MAIN}/volumeMounts/1/mountPath", "/var/cache/varnish"), "Read-only file system"),
    Fault("cache", "the place to compile is too small", put(*CACHE, f"{POD}/volumes/1/emptyDir/sizeLimit", "4Mi"), "No space left|Could not|ended with"),
    Fault("cache", "a file of rules is missing", drop("ConfigMap", "cache-rules", "data/storing.vcl"), "storing.vcl"),
    Fault("cache", "the rules are files of another name", put(*CACHE, f"{POD}/volumes/0/configMap/items", [{"key": "airq.vcl", "path": "default.vcl"}]), "ready.vcl"),
    Fault("cache", "the readiness probe asks what the API serves", put(*CACHE, f"{MAIN}/startupProbe/httpGet/path", "/livez"), "status 503"),
    Fault("cache", "a port that nobody listens on", put(*CACHE, f"{MAIN}/ports/0/containerPort", 80), "Connection refused"),
    Fault("database", "a wrong user", put(*DATABASE, f"{POD}/securityContext/runAsUser", 1000), "ended with|user does not exist"),
    Fault("database", "a new volume belongs to root", drop(*DATABASE, f"{POD}/securityContext/fsGroup"), "Permission denied"),
    Fault("database", "the data is mounted elsewhere", put(*DATABASE, f"{MAIN}/volumeMounts/0/mountPath", "/var/lib/postgresql/data"), "what is written to /var/lib/postgresql is lost"),
    Fault("database", "nowhere for the socket", drop(*DATABASE, f"{MAIN}/volumeMounts/2"), "Read-only file system"),
    Fault("database", "settings that PostgreSQL refuses", put("ConfigMap", "database-settings", "data/production.conf", "shared_buffers = much\n"), "shared_buffers"),
    Fault("database", "the probe runs what is not there", put(*DATABASE, f"{MAIN}/startupProbe/exec/command", ["pg_ready"]), "executable file not found"),
    Fault("database", "the data is read-only", put(*DATABASE, f"{MAIN}/volumeMounts/0/readOnly", True), "Read-only file system"),
    Fault("migrate", "no URL", drop(*MIGRATE, f"{MAIN}/env/3"), "AIRQ_DATABASE_URL"),
    Fault("load", "a program that the image has not", put(*LOAD, f"{MAIN}/command", ["airq-load"]), "executable file not found"),
]  # fmt: skip


def without_fault(production: Manifests, pods: str) -> Manifests:
    """Return one kind of pods, in a hurry: its startup probe gives up soon."""
    manifests = only_pods(deepcopy(production), pods)
    for pod in manifests.pods():
        probe = pod.main.get("startupProbe")
        if probe:
            probe["failureThreshold"] = STARTS * (2 if pods == "database" else 1)
    return manifests


def started(pod: Pod) -> bool:
    """Tell whether a pod's startup probe was content."""
    return any("is up" in line for line in pod.log)


@pytest.mark.parametrize("pods", ["api", "cache", "database"])
def test_without_a_fault_a_pod_starts(empty_cluster: Cluster, production: Manifests, pods: str) -> None:
    empty_cluster.apply(without_fault(production, pods))
    empty_cluster.wait(lambda: any(map(started, empty_cluster.history)), 30, f"{pods} starts")
    assert empty_cluster.faults == []
    assert empty_cluster.history[0].ends == []


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_runner_notices_the_fault(
    empty_cluster: Cluster, production: Manifests, fault: Fault, request: pytest.FixtureRequest
) -> None:
    manifests = without_fault(production, fault.pods)
    fault.make(manifests)

    def is_noticed() -> bool:
        return bool(empty_cluster.faults) or any(pod.ends for pod in empty_cluster.history)

    try:
        empty_cluster.apply(manifests)
        empty_cluster.wait(is_noticed, 30, f"a fault: {fault}")
        said = empty_cluster.said()
    except Unsupported as refusal:
        said = str(refusal)
    assert not any(map(started, empty_cluster.history))
    found = [line.strip() for line in said.splitlines() if re.search(fault.told, line)]
    assert found != [], said
    shown = request.config.stash.setdefault(SHOWN, {}).setdefault(BREAKING, [])
    shown.append(f"{fault} -> {found[-1][-160:]}")
