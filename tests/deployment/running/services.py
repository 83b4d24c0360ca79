"""Services: one stable address each, behind which new connections are spread over the pods that are ready."""

import json
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tests.containers.engine import Engine
from tests.deployment.rendering import Object
from tests.deployment.running.fields import SERVICE, SERVICE_PORT, Unsupported, only
from tests.deployment.running.pods import Pod

PROPAGATION_SECONDS, SLOW_PROPAGATION_SECONDS = 1.0, 4.0
"""Until a node knows of a change among the pods behind a Service; kube-proxy's default is to gather changes
for a second (`minSyncPeriod`), and a cluster with much to do takes some more."""

Targets = dict[str, list[tuple[str, int]]]
"""Port → addresses and ports of the pods behind it."""

PROXY = Path(__file__).with_name("proxy.py")


def is_headless(service: Object) -> bool:
    """Tell whether a Service's name leads to its pods themselves.

    Raises:
        Unsupported: it does, but only while they are ready.
    """
    if service["spec"].get("clusterIP") != "None":
        return False
    if not service["spec"].get("publishNotReadyAddresses"):
        raise Unsupported(f"Service {service['metadata']['name']}: names of ready pods alone")
    return True


def names(service: Object) -> list[str]:
    """Return the names by which pods find a Service."""
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    return [name, *(f"{name}.{namespace}{end}" for end in ("", ".svc", ".svc.cluster.local"))]


def selects(service: Object, pod: Pod) -> bool:
    """Tell whether a Service is for a pod."""
    return selects_labels(service, pod.template.labels)


def selects_labels(service: Object, labels: dict[str, str]) -> bool:
    """Tell whether a Service is for pods with these labels."""
    selector: dict[str, str] = service["spec"]["selector"]
    return selector.items() <= labels.items()


class ServiceAddress:
    """The address of a Service that has one.

    Args:
        image: one that has Python.
        publish: whether it can be reached from this machine, at a port of 127.0.0.1 for each of its own.
    """

    def __init__(
        self, engine: Engine, service: Object, network: str, prefix: str, image: str, *, publish: bool
    ) -> None:
        only(SERVICE, service["spec"], f"Service {service['metadata']['name']}")
        for port in service["spec"]["ports"]:
            only(SERVICE_PORT, port, f"Service {service['metadata']['name']}")
        self.service = service
        self.name = f"{prefix}service-{service['metadata']['name']}"
        self.propagation_seconds = PROPAGATION_SECONDS
        self._engine = engine
        self._queued: deque[tuple[float, Targets]] = deque()
        self._last: Targets = {}
        arguments = [part for name in names(service) for part in ("--network-alias", name)]
        if publish:
            for port in service["spec"]["ports"]:
                arguments += ["--publish", f"127.0.0.1::{port['port']}"]
        command = [
            "docker",
            "run",
            "--rm",
            "--interactive",
            "--no-healthcheck",
            "--name",
            self.name,
            "--network",
            network,
        ]
        command += ["--user", "0", *arguments, "--entrypoint", "python3", image, "-c", PROXY.read_text()]
        self._process = subprocess.Popen(
            command, env=dict(engine.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == "following\n", f"the address of {self.name} does not work: {said}"

    def published(self, port: int) -> int:
        """Return the port of 127.0.0.1 that leads to one of the Service's."""
        return int(self._engine.docker("port", self.name, str(port)).split()[0].rpartition(":")[2])

    def follow(self, pods: Sequence[Pod]) -> None:
        """Lead new connections to those pods that are ready; called again and again."""
        now, targets = time.monotonic(), self._targets(pods)
        if targets != self._last:
            self._last = targets
            self._queued.append((now + self.propagation_seconds, targets))
        while self._queued and self._queued[0][0] <= now:
            self._tell(self._queued.popleft()[1])

    def is_settled(self, pods: Sequence[Pod]) -> bool:
        """Tell whether nodes know which of these pods are ready."""
        return not self._queued and self._targets(pods) == self._last

    def _targets(self, pods: Sequence[Pod]) -> Targets:
        """Return where new connections shall go.

        A pod that is being deleted gets none, unless all that are ready are (Kubernetes: terminating
        endpoints).
        """
        ready = [pod for pod in pods if pod.is_ready and selects(self.service, pod)]
        chosen = [pod for pod in ready if not pod.is_deleted] or ready
        targets: Targets = {}
        for port in self.service["spec"]["ports"]:
            named = port.get("targetPort", port["port"])
            reached = [(pod.address, pod.template.port(named)) for pod in chosen]
            targets[str(port["port"])] = [(address, number) for address, number in reached if number]
        return targets

    def _tell(self, targets: Targets) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(targets) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n", f"{self.name} ended"

    def close(self) -> None:
        """Remove the address."""
        self._engine.docker("rm", "--force", self.name, check=False)
        self._process.communicate()
