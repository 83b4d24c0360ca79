"""Deployments, StatefulSets and Jobs: which pods there shall be, looked at again and again."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.deployment.rendering import Manifests, Object
from tests.deployment.rendering import Pod as Template
from tests.deployment.running import fields
from tests.deployment.running.fields import Unsupported, at_path, only
from tests.deployment.running.pods import Pod

RETRY_SECONDS = 10.0
"""Behind a Job's first failed pod; doubled each time (Kubernetes: pod backoff failure policy)."""

MakePod = Callable[[Template, str], Pod]
"""Makes and starts a pod of a template, with the name given."""


def hash_of(template: Template) -> str:
    """Return what tells a pod's version from others."""
    text = json.dumps([template.spec, template.labels], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Workload:
    """What there shall be, and the pods that there are.

    Args:
        template: of its pods, with its owner.
        make_pod: makes one.
    """

    kind = ""
    known: frozenset[str] = frozenset()

    def __init__(self, template: Template, make_pod: MakePod) -> None:
        self.pods: list[Pod] = []
        self.make_pod = make_pod
        self.update(template)

    def update(self, template: Template) -> None:
        """Want this from now on.

        Raises:
            Unsupported: it has fields that would be passed over.
        """
        owner = template.owner
        only(set(self.known), owner["spec"], f"{self.kind} {owner['metadata']['name']}")
        self.template, self.spec, self.hash = template, owner["spec"], hash_of(template)
        self.name: str = owner["metadata"]["name"]

    def look(self) -> None:
        """Do the next step towards what is wanted."""
        raise NotImplementedError

    def present(self) -> list[Pod]:
        """Return the pods that are not being deleted, the oldest first."""
        self.pods = [pod for pod in self.pods if not pod.gone.is_set()]
        return [pod for pod in self.pods if not pod.is_deleted]

    def is_up_to_date(self) -> bool:
        """Tell whether all is as wanted."""
        raise NotImplementedError


class Deployment(Workload):
    """Pods that are replaced a few at a time."""

    kind, known = "Deployment", frozenset(fields.DEPLOYMENT)
    _numbers: int

    def __init__(self, template: Template, make_pod: MakePod) -> None:
        self._numbers = 0
        super().__init__(template, make_pod)

    def update(self, template: Template) -> None:
        """Want this from now on."""
        super().update(template)
        rolling = at_path(self.spec, "strategy", "rollingUpdate")
        surge, unavailable = (at_path(rolling, name) for name in ("maxSurge", "maxUnavailable"))
        if not isinstance(surge, int) or not isinstance(unavailable, int):
            raise Unsupported(
                f"Deployment {self.name}: the runner wants maxSurge and maxUnavailable as numbers"
            )
        self._surge, self._unavailable = surge, unavailable

    def look(self) -> None:
        """Make pods of the wanted version and delete others, within the limits of the strategy."""
        replicas, present = self.spec["replicas"], self.present()
        new = [pod for pod in present if hash_of(pod.template) == self.hash]
        old = [pod for pod in present if pod not in new]
        room = replicas + (self._surge if old else 0) - len(present)
        for _ in range(min(room, replicas - len(new))):
            self._numbers += 1
            made = self.make_pod(self.template, f"{self.name}-{self.hash}-{self._numbers}")
            self.pods.append(made)
            present.append(made)
        available = [pod for pod in present if pod.is_available(self.spec.get("minReadySeconds", 0))]
        # Those that do not serve go first, and cost nothing.
        spare = len(available) - (replicas - self._unavailable)
        for pod in sorted(old, key=lambda one: one in available):
            if pod not in available:
                pod.delete()
            elif spare > 0:
                spare -= 1
                pod.delete()

    def is_up_to_date(self) -> bool:
        """Tell whether all pods are of the wanted version and available, and no other one is left."""
        self.present()
        seconds = self.spec.get("minReadySeconds", 0)
        return (
            len(self.pods) == self.spec["replicas"]
            and all(hash_of(pod.template) == self.hash for pod in self.pods)
            and all(pod.is_available(seconds) for pod in self.pods)
        )


class StatefulSet(Workload):
    """One pod with a name and volumes that stay; a new one comes when the old one has gone."""

    kind, known = "StatefulSet", frozenset(fields.STATEFUL_SET)
    _waits: bool

    def update(self, template: Template) -> None:
        """Want this from now on."""
        super().update(template)
        if self.spec.get("replicas", 1) != 1:
            raise Unsupported(f"StatefulSet {self.name}: the runner runs one pod of it")
        for claim in self.spec.get("volumeClaimTemplates", []):
            only(fields.CLAIM, claim["spec"], f"StatefulSet {self.name}, claim")
        self._waits = self.spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"

    def look(self) -> None:
        """Make the pod where there is none, delete it where it is of another version."""
        present = self.present()
        if not self.pods:
            self.pods.append(self.make_pod(self.template, f"{self.name}-0"))
        for pod in present:
            # In order, a pod that is not ready is waited for, whatever its version
            # (kubernetes/kubernetes#67250).
            if hash_of(pod.template) != self.hash and (pod.is_ready or not self._waits):
                pod.delete()

    def is_up_to_date(self) -> bool:
        """Tell whether its pod is ready."""
        return [(pod.is_ready, hash_of(pod.template)) for pod in self.present()] == [(True, self.hash)]


@dataclass
class Tries:
    """What a Job has tried."""

    failed: int = 0
    next_at: float = 0.0
    seen: set[str] = field(default_factory=set)


class Job(Workload):
    """Pods one after the other, until one succeeds."""

    kind, known = "Job", frozenset(fields.JOB)

    def __init__(self, template: Template, make_pod: MakePod) -> None:
        super().__init__(template, make_pod)
        self.outcome = ""
        """Complete, or why it failed; empty while it runs."""
        self.began_at = time.monotonic()
        self._tries = Tries()

    def look(self) -> None:
        """Make the next pod where the last one failed, and judge how it ended."""
        if self.outcome:
            return
        if time.monotonic() > self.began_at + self.spec["activeDeadlineSeconds"]:
            self._finish("DeadlineExceeded")
            return
        for pod in self.pods:
            if pod.name in self._tries.seen or pod.phase not in ("Succeeded", "Failed"):
                continue
            self._tries.seen.add(pod.name)
            if pod.phase == "Succeeded":
                self._finish("Complete")
                return
            self._tries.failed += 1
            if self._fails_at_once(pod):
                self._finish("PodFailurePolicy")
                return
            if self._tries.failed > self.spec["backoffLimit"]:
                self._finish("BackoffLimitExceeded")
                return
            self._tries.next_at = time.monotonic() + RETRY_SECONDS * 2 ** (self._tries.failed - 1)
        if len(self.pods) == self._tries.failed and time.monotonic() >= self._tries.next_at:
            self.pods.append(self.make_pod(self.template, f"{self.name}-{self._tries.failed}"))

    def _fails_at_once(self, pod: Pod) -> bool:
        for rule in self.spec.get("podFailurePolicy", {}).get("rules", []):
            codes = rule.get("onExitCodes")
            if codes is None:
                continue
            if (rule["action"], codes["operator"]) != ("FailJob", "In"):
                raise Unsupported(f"Job {self.name}: podFailurePolicy {rule}")
            if pod.ends and pod.ends[-1].status in codes["values"]:
                return True
        return False

    def _finish(self, outcome: str) -> None:
        self.outcome = outcome
        for pod in self.pods:
            if pod.phase == "Running":
                pod.delete()

    def said(self) -> str:
        """Return what its pods have printed."""
        return "\n".join(pod.said() for pod in self.pods)

    def is_up_to_date(self) -> bool:
        """Tell whether it is done."""
        return self.outcome == "Complete"


KINDS: dict[str, type[Workload]] = {kind.kind: kind for kind in (Deployment, StatefulSet, Job)}


def workloads_of(manifests: Manifests) -> list[Object]:
    """Return the objects that make pods.

    Raises:
        Unsupported: one is of a kind that the runner does not run.
    """
    others = {"ConfigMap", "Secret", "Service", *fields.IGNORED_KINDS, *KINDS}
    unknown = sorted({one["kind"] for one in manifests} - others)
    if unknown:
        raise Unsupported(f"the runner does not know {', '.join(unknown)}")
    return manifests.of(*KINDS)
