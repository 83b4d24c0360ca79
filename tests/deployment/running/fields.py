"""Which fields of a manifest the runner follows; any other one stops it, so that nothing is passed over."""

from typing import Any

from tests.deployment.rendering import Object


class Unsupported(Exception):
    """A manifest asks for something that the runner does not do; the message names it."""


IGNORED_KINDS = {
    "Namespace": "the network stands for it; its profile is checked by the rules",
    "ServiceAccount": "no pod gets a token",
    "NetworkPolicy": "the rules walk them as a graph",
    "PodDisruptionBudget": "nothing is evicted; the rules check their arithmetic",
    "ValidatingAdmissionPolicy": "no object is deleted through an API",
    "ValidatingAdmissionPolicyBinding": "no object is deleted through an API",
}
"""Kinds that the runner leaves out, and why."""

METADATA = {"name", "namespace", "labels", "annotations"}
WORKLOAD = {"apiVersion", "kind", "metadata", "spec"}
DEPLOYMENT = {"replicas", "minReadySeconds", "strategy", "selector", "template"} | {
    # How long history and a stuck rollout are kept; neither changes what runs.
    "revisionHistoryLimit", "progressDeadlineSeconds",
}  # fmt: skip
STATEFUL_SET = {
    "replicas", "serviceName", "selector", "template", "volumeClaimTemplates", "podManagementPolicy",
} | {
    # What happens when it is removed.
    "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
}  # fmt: skip
JOB = {"backoffLimit", "activeDeadlineSeconds", "podFailurePolicy", "template", "ttlSecondsAfterFinished"}
SERVICE = {"type", "clusterIP", "publishNotReadyAddresses", "selector", "ports"}
SERVICE_PORT = {"name", "port", "targetPort"}
POD = {
    "restartPolicy", "automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds",
    "securityContext", "initContainers", "containers", "volumes",
} | {
    # Which node and whose token.
    "serviceAccountName", "topologySpreadConstraints", "tolerations",
}  # fmt: skip
POD_SECURITY = {
    "runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "seccompProfile",
}  # fmt: skip
CONTAINER = {
    "name", "image", "imagePullPolicy", "command", "args", "ports", "envFrom", "env", "startupProbe",
    "livenessProbe", "readinessProbe", "lifecycle", "securityContext", "resources", "volumeMounts",
}  # fmt: skip
CONTAINER_SECURITY = {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}
PORT = {"name", "containerPort"}
PROBE = {
    "httpGet", "exec", "tcpSocket", "initialDelaySeconds", "periodSeconds", "timeoutSeconds",
    "failureThreshold", "successThreshold",
}  # fmt: skip
HTTP_GET = {"path", "port"}
LIFECYCLE = {"preStop"}
HOOK = {"sleep", "exec"}
RESOURCES = {"requests", "limits"}
MOUNT = {"name", "mountPath", "readOnly"}
VOLUME = {"name", "emptyDir", "configMap", "secret", "projected"}
EMPTY_DIR = {"medium", "sizeLimit"}
PROJECTED = {"name", "secretName", "items", "defaultMode"}
CLAIM = {"accessModes", "resources"}

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def only(known: set[str], one: Object, where: str) -> Object:
    """Return an object whose fields are all known.

    Raises:
        Unsupported: it has others.
    """
    others = sorted(set(one) - known)
    if others:
        raise Unsupported(f"{where}: the runner does not know {', '.join(others)}")
    return one


def bytes_of(quantity: str) -> int:
    """Return a quantity such as 64Mi in bytes."""
    number = quantity.rstrip("kMGi")
    return int(number) * _UNITS[quantity[len(number) :]]


def cores_of(quantity: str) -> float:
    """Return a quantity such as 100m in cores."""
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def check_pod(spec: Object, where: str) -> None:
    """Refuse a pod with fields that would be passed over.

    Raises:
        Unsupported: there are some.
    """
    only(POD, spec, where)
    for field in ("automountServiceAccountToken", "enableServiceLinks"):
        if spec.get(field) is not False:
            raise Unsupported(f"{where}: the runner gives no {field}, and it is not false")
    only(POD_SECURITY, spec.get("securityContext", {}), f"{where}, securityContext")
    if len(spec["containers"]) != 1:
        raise Unsupported(f"{where}: the runner runs one container a pod")
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        _check_container(container, f"{where}, {container['name']}")
    for volume in spec.get("volumes", []):
        at = f"{where}, volume {volume['name']}"
        only(VOLUME, volume, at)
        only(EMPTY_DIR, volume.get("emptyDir", {}), at)
        only(PROJECTED, volume.get("configMap", {}), at)
        only(PROJECTED, volume.get("secret", {}), at)
        for source in only({"sources"}, volume.get("projected", {}), at).get("sources", []):
            only({"configMap"}, source, at)
            only({"name"}, source["configMap"], at)


def _check_container(container: Object, where: str) -> None:
    only(CONTAINER, container, where)
    only(CONTAINER_SECURITY, container.get("securityContext", {}), f"{where}, securityContext")
    only({"drop"}, container.get("securityContext", {}).get("capabilities", {}), f"{where}, capabilities")
    resources = only(RESOURCES, container.get("resources", {}), where)
    # Of the disk a container gets here what it takes; emptyDirs keep to their own limits.
    only({"memory", "ephemeral-storage"}, resources.get("limits", {}), f"{where}, limits")
    only({"cpu", "memory", "ephemeral-storage"}, resources.get("requests", {}), f"{where}, requests")
    for port in container.get("ports", []):
        only(PORT, port, f"{where}, ports")
    for mount in container.get("volumeMounts", []):
        only(MOUNT, mount, f"{where}, volumeMounts")
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = only(PROBE, container.get(name, {}), f"{where}, {name}")
        only(HTTP_GET, probe.get("httpGet", {}), f"{where}, {name}")
        port = at_path(probe, "httpGet", "port") or at_path(probe, "tcpSocket", "port")
        if isinstance(port, str) and port not in {one.get("name") for one in container.get("ports", [])}:
            raise Unsupported(f"{where}, {name}: no port is named {port}")
    lifecycle = only(LIFECYCLE, container.get("lifecycle", {}), f"{where}, lifecycle")
    only(HOOK, lifecycle.get("preStop", {}), f"{where}, preStop")


def at_path(one: Any, *path: str, default: Any = None) -> Any:
    """Return a nested field, or the default where a part of the way is missing."""
    for part in path:
        if not isinstance(one, dict) or part not in one:
            return default
        one = one[part]
    return one
