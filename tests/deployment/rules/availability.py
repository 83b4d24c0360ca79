"""What keeps the service up: probes, the order of ends, rolling updates, evictions."""

import re

from tests.deployment.rendering import LONG_RUNNING, Manifests, Object, Pod, name_of
from tests.deployment.rules.references import selected

MARGIN_SECONDS = 5
"""Between what a pod does at its end and when it is killed."""

ROUTING_SECONDS = 5
"""Within which every node knows that a pod is going."""

ENDING_SECONDS = {"api": 0, "cache": 2, "database": 60, "database-replica": 60}
"""What each process needs behind SIGTERM besides its own settings."""


def _long_running(manifests: Manifests) -> list[Pod]:
    return [pod for pod in manifests.pods() if pod.owner["kind"] in LONG_RUNNING]


def probes_mean_something(manifests: Manifests) -> list[str]:
    """Liveness never asks the database, the API's readiness does, the cache's asks nobody else."""
    faults = []
    expected = {
        "api": ("/livez", "/livez", "/readyz"),
        "cache": ("/cache-health", "/cache-health", "/cache-health"),
    }
    for pod in _long_running(manifests):
        for container in pod.spec["containers"]:
            kinds = ("startupProbe", "livenessProbe", "readinessProbe")
            missing = [kind for kind in kinds if kind not in container]
            if missing:
                faults.append(f"{name_of(pod.owner)} has no {', '.join(missing)}")
                continue
            paths = tuple(container[kind].get("httpGet", {}).get("path") for kind in kinds)
            if pod.name in expected and paths != expected[pod.name]:
                faults.append(f"{name_of(pod.owner)} is probed at {paths}")
            for kind in kinds:
                probe = container[kind]
                if probe.get("timeoutSeconds", 1) < 2:
                    faults.append(f"{name_of(pod.owner)}: its {kind} gives up within a second")
            starting = container["startupProbe"]
            if starting["periodSeconds"] * starting["failureThreshold"] < 60:
                faults.append(f"{name_of(pod.owner)} has less than a minute to start")
            living = container["livenessProbe"]
            if living["periodSeconds"] * living["failureThreshold"] < 30:
                faults.append(f"{name_of(pod.owner)} is killed within 30 s")
    return faults


def _sleeps_before_its_end(pod: Pod) -> int:
    hook = pod.main.get("lifecycle", {}).get("preStop", {})
    found = re.search(r"\bsleep (\d+)", " ".join(hook.get("exec", {}).get("command", [])))
    return int(found[1]) if found else int(hook.get("sleep", {}).get("seconds", 0))


def ends_fit_into_grace_periods(manifests: Manifests) -> list[str]:
    """What happens between "no new requests" and the kill adds up; new requests end before the process."""
    faults = []
    for pod in _long_running(manifests):
        environment = manifests.environment(pod.main)
        sleep = _sleeps_before_its_end(pod)
        drain = float(environment.get("AIRQ_DRAIN_SECONDS", 0))
        finish = float(environment.get("AIRQ_SHUTDOWN_SECONDS", 0))
        needed = sleep + drain + finish + ENDING_SECONDS[pod.name] + MARGIN_SECONDS
        grace = pod.spec["terminationGracePeriodSeconds"]
        if needed > grace:
            faults.append(f"{name_of(pod.owner)} needs {needed:g} s to end and has {grace}")
        serves_http = any(port.get("name") == "http" for port in pod.main.get("ports", []))
        if serves_http and sleep + drain < ROUTING_SECONDS:
            faults.append(f"{name_of(pod.owner)} stops before every node knows of it")
    return faults


def updates_lose_nothing(manifests: Manifests) -> list[str]:
    """Deployments bring a new pod before an old one goes, and spread over nodes."""
    faults = []
    for pod in _long_running(manifests):
        if pod.owner["kind"] == "Deployment":
            strategy = pod.owner["spec"].get("strategy", {})
            rolling = strategy.get("rollingUpdate", {})
            if strategy.get("type") != "RollingUpdate" or rolling.get("maxUnavailable") != 0:
                faults.append(f"{name_of(pod.owner)} may have too few pods during an update")
            if not rolling.get("maxSurge"):
                faults.append(f"{name_of(pod.owner)} can't be updated")
        keys = [one["topologyKey"] for one in pod.spec.get("topologySpreadConstraints", [])]
        if "kubernetes.io/hostname" not in keys:
            faults.append(f"{name_of(pod.owner)} is not spread over nodes")
    return faults


def updates_can_be_taken_back(manifests: Manifests) -> list[str]:
    """A pod that never becomes ready is replaced when the version before is applied again."""
    return [
        f"{name_of(one)} waits for a pod that is not ready before it replaces it"
        for one in manifests.of("StatefulSet")
        if one["spec"].get("podManagementPolicy") != "Parallel"
    ]


def budgets_allow_one_eviction(manifests: Manifests) -> list[str]:
    """Everything that runs long has a budget, and none holds up a node that is drained."""
    faults = []
    covered = []
    for budget in manifests.of("PodDisruptionBudget"):
        spec = budget["spec"]
        if spec.get("maxUnavailable") != 1 or "minAvailable" in spec:
            faults.append(f"{name_of(budget)} does not allow exactly one eviction")
        if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            faults.append(f"{name_of(budget)} keeps pods that are not ready")
        covered += [pod.name for pod in selected(manifests, spec["selector"])]
    missing = {pod.name for pod in _long_running(manifests)} - set(covered)
    return faults + [f"{name} has no budget" for name in sorted(missing)]


def jobs_end_and_are_named_by_release(manifests: Manifests) -> list[str]:
    """Jobs carry the release, retry, come to an end, and are cleaned away."""
    faults = []
    release = manifests.of("Namespace")[0]["metadata"]["labels"].get("app.kubernetes.io/version")
    for job in manifests.of("Job"):
        if not job["metadata"]["name"].endswith(f"-{release}"):
            faults.append(f"{name_of(job)} is not named by the release {release}")
        faults += _job_faults(job, job["spec"])
        if not 0 < job["spec"].get("ttlSecondsAfterFinished", 0) <= 86_400:
            faults.append(f"{name_of(job)} stays for ever")
    for one in manifests.of("CronJob"):
        faults += _job_faults(one, one["spec"]["jobTemplate"]["spec"])
        if one["spec"].get("concurrencyPolicy") != "Forbid":
            faults.append(f"{name_of(one)} may run beside itself")
    names = {job["metadata"]["name"].partition("-")[0] for job in manifests.of("Job")}
    return faults + [f"there is no Job to {name}" for name in sorted({"migrate", "load"} - names)]


def _job_faults(owner: Object, spec: Object) -> list[str]:
    pod = spec["template"]["spec"]
    faults = []
    if not spec.get("backoffLimit"):
        faults.append(f"{name_of(owner)} is not tried again")
    if "activeDeadlineSeconds" not in spec:
        faults.append(f"{name_of(owner)} may run for ever")
    if pod["restartPolicy"] != "Never":
        faults.append(f"{name_of(owner)} loses the logs of what failed")
    if "--wait" not in pod["containers"][0].get("args", []):
        faults.append(f"{name_of(owner)} does not wait for the database")
    return faults


RULES = [
    probes_mean_something,
    ends_fit_into_grace_periods,
    updates_lose_nothing,
    updates_can_be_taken_back,
    budgets_allow_one_eviction,
    jobs_end_and_are_named_by_release,
]
