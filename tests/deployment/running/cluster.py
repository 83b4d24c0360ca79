"""A cluster of one machine: what `kubectl apply` gives it, runs under a Docker engine."""

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from copy import deepcopy

from tests.containers.engine import Engine
from tests.deployment.rendering import Manifests, Object
from tests.deployment.rendering import Pod as Template
from tests.deployment.running import services
from tests.deployment.running.fields import METADATA, WORKLOAD, Unsupported, check_pod, only
from tests.deployment.running.pods import LABEL, Pod
from tests.deployment.running.services import ServiceAddress
from tests.deployment.running.workloads import KINDS, Job, Workload, hash_of, workloads_of

LOOK_SECONDS = 0.1


class Cluster:
    """Runs manifests.

    Args:
        name: what the names of its containers, volumes and network begin with.
        helper_image: one that has Python, for the Services' addresses.
        public: the Services that are reached from this machine.
    """

    def __init__(self, engine: Engine, name: str, helper_image: str, public: Sequence[str] = ()) -> None:
        self.engine, self.name = engine, name
        self.faults: list[str] = []
        """What a cluster would not have let pass, of pods that may be gone by now."""
        self.history: list[Pod] = []
        """All pods that there have been."""
        self.workloads: dict[tuple[str, str], Workload] = {}
        self._manifests = Manifests()
        self._services: dict[str, Object] = {}
        self._addresses: dict[str, ServiceAddress] = {}
        self._helper_image, self._public = helper_image, public
        self._changing, self._closed = threading.RLock(), threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)
        engine.docker("network", "create", name)
        self._looking.start()

    def apply(self, manifests: Manifests) -> None:
        """Want these objects, all at once; what was applied before and is not among them stays.

        Raises:
            Unsupported: there is something that the runner would have to pass over, or that can't be changed.
        """
        manifests = Manifests(deepcopy(list(manifests)))
        owners = workloads_of(manifests)
        templates = {template.owner["metadata"]["name"]: template for template in manifests.pods()}
        with self._changing:
            # What was applied earlier is still there, as in a namespace.
            names = {(one["kind"], one["metadata"]["name"]) for one in manifests}
            kept = [one for one in self._manifests if (one["kind"], one["metadata"]["name"]) not in names]
            self._manifests = Manifests([*kept, *manifests])
            for service in manifests.of("Service"):
                self._take_service(service)
            for owner in owners:
                only(WORKLOAD, owner, owner["kind"])
                only(METADATA, owner["metadata"], owner["kind"])
                check_pod(templates[owner["metadata"]["name"]].spec, owner["metadata"]["name"])
                self._take_workload(owner, templates[owner["metadata"]["name"]])

    def remove(self, kind: str, name: str) -> None:
        """Remove a workload and its pods."""
        with self._changing:
            for pod in self.workloads.pop((kind, name)).present():
                pod.delete()

    def _take_service(self, service: Object) -> None:
        name = service["metadata"]["name"]
        if name in self._services:
            if self._services[name] != service:
                raise Unsupported(f"Service {name} is changed; the runner makes it once")
            return
        self._services[name] = service
        if not services.is_headless(service):
            self._addresses[name] = ServiceAddress(
                self.engine, service, self.name, f"{self.name}-", self._helper_image,
                publish=name in self._public,
            )  # fmt: skip

    def _take_workload(self, owner: Object, template: Template) -> None:
        key = (owner["kind"], owner["metadata"]["name"])
        known = self.workloads.get(key)
        if known is None:
            self.workloads[key] = KINDS[owner["kind"]](template, self._make_pod)
        elif isinstance(known, Job):
            if hash_of(template) != known.hash:
                raise Unsupported(f"Job {key[1]} is there, and a Job can't be changed")
        else:
            known.update(template)

    def _make_pod(self, template: Template, name: str) -> Pod:
        aliases = []
        for service in self._services.values():
            if services.is_headless(service) and services.selects_labels(service, template.labels):
                aliases += services.names(service)
                if template.owner["spec"].get("serviceName") == service["metadata"]["name"]:
                    aliases += [f"{name}.{alias}" for alias in services.names(service)]
        pod = Pod(
            self.engine, self._manifests, template, name, self.name, f"{self.name}-", aliases,
            self.faults.append,
        )  # fmt: skip
        self.history.append(pod)
        pod.start()
        return pod

    def _look(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                with self._changing:
                    for workload in self.workloads.values():
                        workload.look()
                    for address in self._addresses.values():
                        address.follow(self._all_pods())
            except Exception:
                self.faults.append(traceback.format_exc())
                return

    def _all_pods(self) -> list[Pod]:
        return [pod for workload in self.workloads.values() for pod in workload.pods]

    def pods(self, name: str) -> list[Pod]:
        """Return the pods of a kind that are there and not being deleted."""
        with self._changing:
            found = [w for w in self.workloads.values() if w.template.name == name]
            return [pod for workload in found for pod in workload.present()]

    def pod(self, name: str) -> Pod:
        """Return the one pod of a kind."""
        [pod] = self.pods(name)
        return pod

    def workload(self, kind: str, name: str) -> Workload:
        """Return a workload by its kind and what its name begins with."""
        [found] = [w for (k, n), w in self.workloads.items() if k == kind and n.startswith(name)]
        return found

    def job(self, name: str) -> Job:
        """Return the newest Job whose name begins so."""
        found = [w for w in self.workloads.values() if isinstance(w, Job) and w.name.startswith(name)]
        return found[-1]

    def set_propagation(self, seconds: float) -> None:
        """Let changes among the pods behind Services be known this much later from now on."""
        for address in self._addresses.values():
            address.propagation_seconds = seconds

    def port(self, service: str, port: int) -> int:
        """Return the port of 127.0.0.1 that leads to a public Service's."""
        return self._addresses[service].published(port)

    def is_up(self) -> bool:
        """Tell whether everything is as wanted, and every node knows of it."""
        with self._changing:
            return all(workload.is_up_to_date() for workload in self.workloads.values()) and all(
                address.is_settled(self._all_pods()) for address in self._addresses.values()
            )

    def wait(self, holds: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait until something holds; return the seconds that it took.

        Raises:
            AssertionError: it does not hold in time; the message says what became of the pods.
        """
        began = time.monotonic()
        while not holds():
            late = time.monotonic() - began > seconds
            assert not late, f"not within {seconds:g} s: {what}\n{self.said()}"
            time.sleep(0.1)
        return time.monotonic() - began

    def said(self) -> str:
        """Return what happened to the pods, for people."""
        shown = [line for pod in self.history for line in pod.log]
        unready = [pod for w in self.workloads.values() for pod in w.pods if not pod.is_ready]
        last = [f"--- {pod.name}, {pod.phase}\n{pod.said()[-1500:]}" for pod in unready]
        return "\n".join([*sorted(shown)[-60:], *self.faults, *last])

    def close(self) -> None:
        """Remove everything, the volumes too."""
        self._closed.set()
        self._looking.join()
        for pod in self.history:
            pod.delete(0)
        for pod in self.history:
            pod.gone.wait(60)
        for address in self._addresses.values():
            address.close()
        left = self.engine.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.name}").split()
        if left:
            self.engine.docker("rm", "--force", "--volumes", *left, check=False)
        self.engine.docker("network", "rm", self.name, check=False)
        listed = self.engine.docker("volume", "ls", "--quiet", "--filter", f"name={self.name}-").split()
        if listed:
            self.engine.docker("volume", "rm", "--force", *listed, check=False)
