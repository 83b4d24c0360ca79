"""Numbers that depend on one another: pods and connections, memory and what it is for."""

import json
import re
from functools import cache

from tests.deployment.rendering import REPOSITORY, Manifests, Object, name_of
from tests.deployment.tools import run, tool

JOB_CONNECTIONS = 10
"""Migration and loads have two each; backups and a person need some."""

RESERVED_CONNECTIONS = 3
"""PostgreSQL keeps these for superusers."""

CACHE_OVERHEAD_MIB = 384
"""What Varnish needs besides the answers that it stores (docs/reference/cache.md), and its log."""

_IMAGE_SETTINGS = REPOSITORY / "deploy" / "images" / "database" / "postgresql.conf"
_UNITS = {"": 1 / 1024 / 1024, "k": 1 / 1024, "m": 1.0, "g": 1024.0, "kb": 1 / 1024, "mb": 1.0, "gb": 1024.0}


def _mib(text: str) -> float:
    found = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", text)
    assert found, text
    return int(found[1]) * _UNITS[found[2].lower().replace("i", "")]


def _database_settings(manifests: Manifests) -> dict[str, str]:
    """Return PostgreSQL's settings: the image's, then the ConfigMap's files by name; the last one wins."""
    files = manifests.get("ConfigMap", "database-settings")["data"]
    mounted = [files[name] for name in sorted(files) if name.endswith(".conf")]
    text = "\n".join([_IMAGE_SETTINGS.read_text(), *mounted])
    return dict(re.findall(r"^(\w+)\s*=\s*'?([^'#\n]*?)'?\s*(?:#.*)?$", text, re.MULTILINE))


def most_pods(manifests: Manifests) -> int:
    """Return the most API pods there can be: during an update each may have a successor, and one more."""
    api = manifests.get("Deployment", "api")
    scalers = [one["spec"]["maxReplicas"] for one in manifests.of("HorizontalPodAutoscaler")]
    most = max([api["spec"].get("replicas", 1), *scalers])
    return int(2 * (most + api["spec"]["strategy"]["rollingUpdate"]["maxSurge"]))


def pools_fit_into_the_database(manifests: Manifests) -> list[str]:
    """The pools of all API pods that there can be at once, and the jobs, stay below max_connections."""
    if not manifests.of("StatefulSet"):
        return []
    pool = int(manifests.environment(manifests.pod("api").main)["AIRQ_POOL_SIZE"])
    needed = most_pods(manifests) * pool + JOB_CONNECTIONS + RESERVED_CONNECTIONS
    most = int(_database_settings(manifests)["max_connections"])
    if needed > most:
        return [f"{most_pods(manifests)} API pods with {pool} connections and jobs need {needed} of {most}"]
    return []


def memory_holds_what_it_is_for(manifests: Manifests) -> list[str]:
    """Shared buffers and what lies in memory stay well below the limits."""
    faults = []
    for pod in manifests.pods():
        container = pod.main
        limit = _mib(container["resources"]["limits"]["memory"])
        if pod.name == "cache":
            size = _mib(manifests.environment(container)["AIRQ_CACHE_SIZE"])
            if size + CACHE_OVERHEAD_MIB > limit:
                faults.append(f"the cache stores {size:g} MiB in a limit of {limit:g}")
        if pod.name.startswith("database"):
            buffers = _mib(_database_settings(manifests)["shared_buffers"])
            if buffers * 2.5 > limit:
                faults.append(f"{pod.name} has {buffers:g} MiB of shared buffers in a limit of {limit:g}")
        in_memory = sum(
            _mib(volume["emptyDir"]["sizeLimit"])
            for volume in pod.spec.get("volumes", [])
            if volume.get("emptyDir", {}).get("medium") == "Memory"
        )
        if in_memory > limit / 2:
            faults.append(f"{name_of(pod.owner)} keeps {in_memory:g} MiB of files in a limit of {limit:g}")
    return faults


def _claims(owner: Object) -> list[Object]:
    found: list[Object] = owner["spec"].get("volumeClaimTemplates", [])
    return found


def volumes_hold_the_same_data(manifests: Manifests) -> list[str]:
    """A replica's volume is as large as the primary's."""
    sizes = {
        str(claim["spec"]["resources"]["requests"]["storage"])
        for one in manifests.of("StatefulSet")
        for claim in _claims(one)
    }
    return [f"volumes of one and the same data have {sorted(sizes)}"] if len(sizes) > 1 else []


def volumes_hold_the_log_of_writes(manifests: Manifests) -> list[str]:
    """What is kept of the log fills no more than half of the volume; full, PostgreSQL could not even recover.

    A checkpoint comes before it is longer than `max_wal_size`; for a replica that is away more is kept.
    """
    faults = []
    for one in manifests.of("StatefulSet"):
        settings = _database_settings(manifests)
        log = max(_mib(settings["max_wal_size"]), _mib(settings.get("max_slot_wal_keep_size", "0")))
        for claim in _claims(one):
            size = _mib(claim["spec"]["resources"]["requests"]["storage"])
            if log * 2 > size:
                faults.append(f"{name_of(one)} may keep {log:g} MiB of log in a volume of {size:g}")
    return faults


Annotations = dict[str, str]
ALLOWED_ANNOTATIONS: tuple[Annotations, ...] = (
    {"airq/delete-data": "yes"},
    {"airq/delete-data": "yes", "a/b": "c"},
)
REFUSED_ANNOTATIONS: tuple[Annotations | None, ...] = (
    None,
    {},
    {"a/b": "yes"},
    {"airq/delete-data": "no"},
    {"airq/delete-data": ""},
)


@cache
def _lets_delete(expression: str) -> tuple[bool, ...]:
    """Return what a policy's expression says of a namespace with each of the annotations above."""
    metadata = [
        {"name": "x"} if one is None else {"name": "x", "annotations": one}
        for one in (*ALLOWED_ANNOTATIONS, *REFUSED_ANNOTATIONS)
    ]
    script = (
        "import cel, json, sys; expression, held = json.load(sys.stdin); "
        "print(json.dumps([cel.evaluate(expression, {'oldObject': {'metadata': one}}) for one in held]))"
    )
    said = run(tool("python"), "-c", script, stdin=json.dumps([expression, metadata]))
    return tuple(json.loads(said))


def _policy_faults(policy: Object) -> list[str]:
    spec, faults = policy["spec"], []
    if spec.get("failurePolicy") != "Fail":
        faults.append("lets pass what it can't judge")
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["namespaces"]}
    ]
    if spec["matchConstraints"] != {"resourceRules": rules}:
        faults.append("is asked of something else than the deletion of namespaces")
    [validation] = spec["validations"]
    expected = (True,) * len(ALLOWED_ANNOTATIONS) + (False,) * len(REFUSED_ANNOTATIONS)
    if _lets_delete(validation["expression"]) != expected:
        faults.append("allows a deletion that nobody asked for, or none")
    if validation.get("reason") != "Forbidden" or "Do not repeat" not in validation["message"]:
        faults.append("does not say what a second try would do")
    return [f"{name_of(policy)} {fault}" for fault in faults]


def data_stays(manifests: Manifests) -> list[str]:
    """Volumes outlive what uses them, and the namespace is not deleted with them by mistake."""
    faults = []
    for one in manifests.of("StatefulSet"):
        kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
        if one["spec"].get("persistentVolumeClaimRetentionPolicy") != kept:
            faults.append(f"{name_of(one)} does not say that its data stays")
        if [claim["metadata"]["name"] for claim in _claims(one)] != ["data"]:
            faults.append(f"{name_of(one)} has no volume for its data")
    namespace = manifests.of("Namespace")[0]["metadata"]["name"]
    bindings = manifests.of("ValidatingAdmissionPolicyBinding")
    for binding in bindings:
        spec = binding["spec"]
        selector = spec["matchResources"]["objectSelector"]["matchLabels"]
        if selector != {"kubernetes.io/metadata.name": namespace} or spec["validationActions"] != ["Deny"]:
            faults.append(f"{name_of(binding)} does not keep {namespace}")
        if not manifests.has("ValidatingAdmissionPolicy", spec["policyName"]):
            faults.append(f"{name_of(binding)} names a policy that is not there")
    faults += [fault for one in manifests.of("ValidatingAdmissionPolicy") for fault in _policy_faults(one)]
    # `kubectl delete -k` goes by this order: the policy must still be there when the namespace's turn comes.
    if manifests[0]["kind"] != "Namespace":
        faults.append("the namespace is not the first object")
    if manifests.of("StatefulSet") and not bindings:
        faults.append("nothing keeps the namespace from being deleted")
    return faults


RULES = [
    pools_fit_into_the_database, memory_holds_what_it_is_for, volumes_hold_the_same_data,
    volumes_hold_the_log_of_writes, data_stays,
]  # fmt: skip
