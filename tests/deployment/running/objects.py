"""What ConfigMaps and Secrets hold; one that is missing stops the runner, as it keeps a pod from starting."""

import base64

from tests.deployment.rendering import NAME, Manifests, Object
from tests.deployment.running.fields import Unsupported

_REFERENCES = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_KEYS = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}


def data(manifests: Manifests, kind: str, name: str) -> dict[str, str]:
    """Return the keys and texts of a ConfigMap or Secret.

    Raises:
        Unsupported: it is not there, or holds what is no text.
    """
    found = [one for one in manifests.of(kind) if one["metadata"]["name"] == name]
    if len(found) != 1 or "binaryData" in found[0] or "stringData" in found[0]:
        raise Unsupported(f"there is no {kind} {name} that holds texts")
    held: dict[str, str] = found[0].get("data") or {}
    if kind == "ConfigMap":
        return held
    return {key: base64.b64decode(value).decode() for key, value in held.items()}


def environment(manifests: Manifests, container: Object) -> dict[str, str]:
    """Return a container's variables, $(references) replaced.

    Raises:
        Unsupported: a source or a key in one is not there, or of a kind that is not known.
    """
    for source in container.get("envFrom", []):
        for key, reference in source.items():
            if key not in _REFERENCES:
                raise Unsupported(f"{container['name']}: envFrom {key}")
            data(manifests, _REFERENCES[key], reference["name"])
    for variable in container.get("env", []):
        for key, reference in variable.get("valueFrom", {}).items():
            if key not in _KEYS or reference["key"] not in data(manifests, _KEYS[key], reference["name"]):
                raise Unsupported(f"{container['name']}: {variable['name']} comes from nowhere")
    return manifests.environment(container)


def only_pods(manifests: Manifests, name: str) -> Manifests:
    """Return what one kind of pods needs: its workload, with one pod of it, and all data and Services."""
    kept = Manifests(
        one
        for one in manifests
        if one["kind"] in ("ConfigMap", "Secret", "Service")
        or (one["kind"] in ("Deployment", "StatefulSet", "Job") and one["metadata"]["labels"][NAME] == name)
    )
    for deployment in kept.of("Deployment"):
        deployment["spec"]["replicas"] = 1
    return kept
