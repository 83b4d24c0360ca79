"""Who is who: one namespace, names that nobody prefixed, secrets that nobody shares."""

from pathlib import Path

from tests.deployment.rendering import Manifests, name_of

CLUSTER_WIDE = ("Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
RULES_OF_THE_CACHE = Path(__file__).resolve().parents[3] / "deploy" / "images" / "cache" / "vcl"
KNOWN_KINDS = {
    *CLUSTER_WIDE, "ConfigMap", "Secret", "Service", "ServiceAccount", "Deployment", "StatefulSet", "Job",
    "CronJob", "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler", "Ingress", "Gateway",
    "HTTPRoute", "ExternalSecret",
}  # fmt: skip
"""Roles, for instance, are none of them: no pod has a token to use one with."""

SECRETS = {
    "api": {"AIRQ_READER_PASSWORD"},
    "cache": {"AIRQ_PURGE_TOKEN"},
    "database": {"POSTGRES_PASSWORD", "AIRQ_OWNER_PASSWORD"},
    "database-replica": {"POSTGRES_PASSWORD", "AIRQ_REPLICATION_PASSWORD"},
    "migrate": {"AIRQ_OWNER_PASSWORD", "AIRQ_LOADER_PASSWORD", "AIRQ_READER_PASSWORD"},
    "load": {"AIRQ_LOADER_PASSWORD", "AIRQ_PURGE_TOKEN"},
    "scheduled-load": {"AIRQ_LOADER_PASSWORD", "AIRQ_PURGE_TOKEN"},
}


def objects_are_in_one_namespace(manifests: Manifests) -> list[str]:
    """Everything is in the overlay's namespace, which enforces the restricted profile; kinds are known."""
    [namespace] = manifests.of("Namespace")
    faults = []
    for one in manifests:
        expected = None if one["kind"] in CLUSTER_WIDE else namespace["metadata"]["name"]
        if one["metadata"].get("namespace") != expected:
            faults.append(f"{name_of(one)} is in {one['metadata'].get('namespace')}")
        if one["kind"] not in KNOWN_KINDS:
            faults.append(f"{name_of(one)} is of a kind that nobody expects")
    if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        faults.append("the namespace does not enforce the restricted profile")
    names = [name_of(one) for one in manifests]
    return faults + [f"{name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]


def secrets_reach_who_needs_them(manifests: Manifests) -> list[str]:
    """Each pod gets its own secrets and no others; no value in the open is a secret or a placeholder."""
    faults = []
    for pod in manifests.pods():
        given = {
            variable["valueFrom"]["secretKeyRef"]["key"]
            for container in pod.containers
            for variable in container.get("env", [])
            if "secretKeyRef" in variable.get("valueFrom", {})
        }
        if given != SECRETS.get(pod.name):
            faults.append(f"{pod.name} gets {sorted(given)}")
        if any("secretRef" in source for one in pod.containers for source in one.get("envFrom", [])):
            faults.append(f"{pod.name} gets a Secret as a whole")
    for secret in manifests.of("Secret"):
        values = secret["data"].values()
        # "change-me" as a Secret shows it.
        faults += [
            f"{name_of(secret)} has a placeholder" for value in values if value.startswith("Y2hhbmdlLW1l")
        ]
        if len(set(values)) < len(secret["data"]):
            faults.append(f"{name_of(secret)} has the same secret twice")
    return faults


def the_cache_has_all_of_its_rules(manifests: Manifests) -> list[str]:
    """The ConfigMap holds the rules as they are at home."""
    held = manifests.get("ConfigMap", "cache-rules")["data"]
    home = {path.name: path.read_text() for path in RULES_OF_THE_CACHE.glob("*.vcl")}
    return [
        f"{name} differs" for name in sorted(home.keys() | held.keys()) if home.get(name) != held.get(name)
    ]


RULES = [objects_are_in_one_namespace, secrets_reach_who_needs_them, the_cache_has_all_of_its_rules]
