"""What every pod keeps: it runs with no rights, writes where it may, and says what it is."""

import re

from tests.deployment.rendering import Manifests, Object, Pod, name_of

RECOMMENDED = {"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/component"}
WRITABLE = {
    "airq-api": {"/tmp"},
    "airq-cache": {"/var/lib/varnish"},
    "airq-database": {"/var/lib/postgresql", "/var/run/postgresql", "/tmp"},
}
"""Image → the directories that it must be able to write to (docs/explanation/images.md)."""

USERS = {"airq-api": 10001, "airq-cache": 10002, "airq-database": 999}


def image_of(container: Object) -> str:
    """Return the name of a container's image, without registry, tag and digest."""
    return str(re.split("[:@]", str(container["image"]).rpartition("/")[2])[0])


def pods_are_restricted(manifests: Manifests) -> list[str]:
    """Every pod keeps Pod Security's restricted profile, and more: a read-only root, no token, no links."""
    faults = []
    for pod in manifests.pods():
        faults += [f"{name_of(pod.owner)}: {fault}" for fault in _pod_faults(pod.spec)]
        for container in pod.containers:
            user = pod.spec.get("securityContext", {}).get("runAsUser")
            if user != USERS.get(image_of(container)):
                faults.append(f"{name_of(pod.owner)}: {image_of(container)} does not run as {user}")
            context = container.get("securityContext", {})
            expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}
            faults += [
                f"{name_of(pod.owner)}/{container['name']}: {key} is {context.get(key)}"
                for key, value in expected.items()
                if context.get(key) is not value
            ]
            if context.get("capabilities") != {"drop": ["ALL"]}:
                faults.append(f"{name_of(pod.owner)}/{container['name']} keeps capabilities")
            if (
                context.get("privileged")
                or context.get("runAsUser") == 0
                or context.get("runAsNonRoot") is False
            ):
                faults.append(f"{name_of(pod.owner)}/{container['name']} is privileged or root")
            if any("hostPort" in port for port in container.get("ports", [])):
                faults.append(f"{name_of(pod.owner)}/{container['name']} takes a port of its node")
    return faults


def _pod_faults(spec: Object) -> list[str]:
    context = spec.get("securityContext", {})
    faults = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        faults.append("it may run as root")
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        faults.append("its system calls are not filtered")
    if not context.get("fsGroup"):
        faults.append("its volumes belong to no group of its own")
    if spec.get("automountServiceAccountToken") is not False:
        faults.append("it gets a token")
    if spec.get("enableServiceLinks") is not False:
        faults.append("it gets service links")
    allowed = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= allowed:
            faults.append(f"its volume {volume['name']} is of a kind that is not allowed")
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            faults.append(f"its volume {volume['name']} has no limit")
    return faults


def pods_can_write_where_they_must(manifests: Manifests) -> list[str]:
    """What an image writes to is a writable volume; the cache's allows execution."""
    faults = []
    for pod in manifests.pods():
        for container in pod.spec["containers"]:
            writable = {
                mount["mountPath"]
                for mount in container.get("volumeMounts", [])
                if not mount.get("readOnly") and _is_writable(pod, mount["name"])
            }
            missing = WRITABLE[image_of(container)] - writable
            faults += [f"{name_of(pod.owner)} can't write to {path}" for path in sorted(missing)]
    return faults


def _is_writable(pod: Pod, name: str) -> bool:
    claims = pod.owner["spec"].get("volumeClaimTemplates", [])
    return any(claim["metadata"]["name"] == name for claim in claims) or any(
        volume["name"] == name and "emptyDir" in volume for volume in pod.spec.get("volumes", [])
    )


def pods_have_resources(manifests: Manifests) -> list[str]:
    """Every container asks for CPU and memory and has a limit of memory."""
    faults = []
    for pod in manifests.pods():
        for container in pod.containers:
            resources = container.get("resources", {})
            for place, key in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if key not in resources.get(place, {}):
                    faults.append(f"{name_of(pod.owner)}/{container['name']} has no {place} of {key}")
    return faults


def objects_have_labels(manifests: Manifests) -> list[str]:
    """Objects and pods carry the recommended labels."""
    faults = []
    for one in manifests:
        labels = one["metadata"].get("labels", {})
        missing = {"app.kubernetes.io/version", "app.kubernetes.io/part-of"} - set(labels)
        if one["kind"] not in ("ConfigMap", "Secret") and "app.kubernetes.io/name" not in labels:
            missing.add("app.kubernetes.io/name")
        if missing - ({"app.kubernetes.io/part-of"} if one["kind"] in ("ConfigMap", "Secret") else set()):
            faults.append(f"{name_of(one)} lacks {sorted(missing)}")
    return faults + [
        f"the pods of {name_of(pod.owner)} lack {sorted(RECOMMENDED - set(pod.labels))}"
        for pod in manifests.pods()
        if not set(pod.labels) >= RECOMMENDED
    ]


def images_are_pinned(manifests: Manifests) -> list[str]:
    """Every image has a tag that is a release's, or a digest."""
    faults = []
    for pod in manifests.pods():
        for container in pod.containers:
            image = str(container["image"])
            tag = image.rpartition("/")[2].partition(":")[2]
            if not tag or tag in ("latest", "dev"):
                faults.append(f"{name_of(pod.owner)} runs {image}")
    return faults


RULES = [
    pods_are_restricted,
    pods_can_write_where_they_must,
    pods_have_resources,
    objects_have_labels,
    images_are_pinned,
]
