"""One pod: its sandbox, its volumes, its container, restarts, probes and end."""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.containers.engine import Engine
from tests.deployment.rendering import Manifests, Object
from tests.deployment.rendering import Pod as Template
from tests.deployment.running import containers, objects, probes
from tests.deployment.running.containers import VOLUMES, Volume
from tests.deployment.running.fields import Unsupported

FIRST_BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 10.0, 300.0
"""Behind a container's first restart, which is immediate (Kubernetes: pod lifecycle, restart policy)."""

LABEL = "airq.cluster"
"""Tells whose a container is; one that could not be started stays, without a name."""

KUBERNETES_SERVICE = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
"""Every container is told of the cluster's own API, whatever `enableServiceLinks` says."""


@dataclass(frozen=True)
class End:
    """How a container ended."""

    status: int
    out_of_memory: bool
    log: str


@dataclass
class Pod:
    """A pod that runs, from the moment it is made.

    Args:
        name: its own.
        network: the engine's network that all pods are in.
        prefix: what the names of containers and volumes begin with.
        aliases: the names by which others find it.
        on_fault: told of what a cluster would not let pass.
    """

    engine: Engine
    manifests: Manifests
    template: Template
    name: str
    network: str
    prefix: str
    aliases: Sequence[str]
    on_fault: Callable[[str], None]
    ready_at: float | None = None
    """When it last became ready; None while it is not."""
    started_at: float | None = None
    """When its container was started last."""
    phase: str = "Pending"
    """Pending, Running, Succeeded, Failed."""
    deleted_at: float | None = None
    gone: threading.Event = field(default_factory=threading.Event)
    restarts: int = 0
    ends: list[End] = field(default_factory=list)
    address: str = ""
    stop_seconds: float | None = None
    """From its deletion to its container's end."""
    unready_because: str = ""
    """What its readiness probe heard last, where that was bad."""
    log: list[str] = field(default_factory=list)
    """What happened to it, each with its time."""

    def __post_init__(self) -> None:
        spec = self.template.spec
        claims = self.template.owner["spec"].get("volumeClaimTemplates", [])
        self._volumes = containers.volumes(
            self.manifests, spec, claims, f"{self.prefix}{self.name}-", f"{self.prefix}claim-{self.name}-"
        )
        self._container: Object = spec["containers"][0]
        self._grace: float = spec.get("terminationGracePeriodSeconds", 30)
        self._sandbox = f"{self.prefix}{self.name}"
        self._id = ""
        self._deletion = threading.Event()
        self._probers: list[probes.Prober] = []
        self._live: threading.Thread = threading.Thread(target=self._life, daemon=True)

    def start(self) -> None:
        """Make it."""
        self._live.start()

    @property
    def is_deleted(self) -> bool:
        """Whether its end was asked for."""
        return self.deleted_at is not None

    @property
    def is_ready(self) -> bool:
        """Whether its readiness probe says so."""
        return self.ready_at is not None

    def is_available(self, seconds: float) -> bool:
        """Tell whether it has been ready for as long."""
        return (
            not self.is_deleted and self.ready_at is not None and time.monotonic() >= self.ready_at + seconds
        )

    def delete(self, grace_seconds: float | None = None) -> None:
        """Ask for its end; `gone` is set when it has come.

        Args:
            grace_seconds: in the place of its own grace period; 0 kills it.
        """
        if grace_seconds is not None:
            self._grace = grace_seconds
        if not self.is_deleted:
            self.deleted_at = time.monotonic()
            self._deletion.set()

    def kill_container(self) -> None:
        """End its container's first process with SIGKILL, as the kernel does without memory."""
        self.engine.docker("kill", "--signal", "KILL", self._id)

    def execute(self, *command: str, timeout_seconds: float = 60) -> str:
        """Run a command in its container; return what it printed."""
        return self.engine.docker("exec", self._id, *command, timeout_seconds=timeout_seconds)

    def said(self) -> str:
        """Return what its containers have printed, and what happened to it."""
        now = self._logs() if self._id and self.phase == "Running" else ""
        return "\n".join([*self.log, *(end.log for end in self.ends), now])

    def _note(self, text: str) -> None:
        self.log.append(f"{time.strftime('%H:%M:%S')} {self.name}: {text}")

    def _life(self) -> None:
        try:
            self._make_sandbox()
            for container in self.template.spec.get("initContainers", []):
                self._initialize(container)
            self._run_until_deleted()
        except (AssertionError, Unsupported, subprocess.TimeoutExpired) as error:
            self.phase = "Failed"
            self._note(str(error))
            self.on_fault(f"{self.name}: {error}")
            self._deletion.wait()
        finally:
            self._remove()
            self.gone.set()

    def _make_sandbox(self) -> None:
        """Make what stays while containers come and go: address, names, volumes."""
        arguments: list[str] = []
        for volume in self._volumes:
            self.engine.docker("volume", "create", *volume.options, volume.engine_name)
            how = f"type=volume,source={volume.engine_name},destination={VOLUMES}/{volume.name}"
            arguments += ["--mount", f"{how},volume-nocopy=true"]
        for alias in self.aliases:
            arguments += ["--network-alias", alias]
        self.engine.docker(
            "run", "--detach", "--no-healthcheck", "--name", self._sandbox, "--hostname", self.name,
            "--network", self.network,
            "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024", "--user", "0", *arguments,
            "--entrypoint", "sleep", self._container["image"], "infinity",
        )  # fmt: skip
        self._prepare_volumes()
        where = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.address = self.engine.docker("inspect", "--format", where, self._sandbox).strip()

    def _prepare_volumes(self) -> None:
        for volume in self._volumes:
            script = containers.preparation(volume, self.template.spec)
            group = self.template.spec.get("securityContext", {}).get("fsGroup", 0)
            sent = b"" if volume.files is None else containers.archive(volume.files, volume.mode, group)
            done = subprocess.run(
                ["docker", "exec", "--interactive", self._sandbox, "sh", "-c", script],
                env=dict(self.engine.environment), input=sent, capture_output=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"volume {volume.name}: {done.stderr.decode()}"

    def _create(self, container: Object) -> str:
        """Start a container as the manifest says; return its id."""
        environment = KUBERNETES_SERVICE | objects.environment(self.manifests, container)
        entrypoint, arguments = containers.command_arguments(container, environment)
        variables = [part for item in environment.items() for part in ("--env", "=".join(item))]
        return self.engine.docker(
            "run", "--detach", "--no-healthcheck", "--pull", "never", "--label", f"{LABEL}={self.network}",
            "--network", f"container:{self._sandbox}", *variables,
            *containers.security_arguments(self.template.spec, container),
            *containers.resource_arguments(container),
            *containers.mount_arguments(container, self._volumes),
            *entrypoint, container["image"], *arguments,
        ).strip()  # fmt: skip

    def _initialize(self, container: Object) -> None:
        back_off = FIRST_BACK_OFF_SECONDS
        while not self._deletion.is_set():
            self._id = self._create(container)
            self._wait_for_end()
            if self._collect().status == 0:
                return
            self._deletion.wait(back_off)
            back_off = min(2 * back_off, LONGEST_BACK_OFF_SECONDS)

    def _run_until_deleted(self) -> None:
        back_off = 0.0
        while not self._deletion.is_set():
            self._id = self._create(self._container)
            self.started_at, self.phase = time.monotonic(), "Running"
            self._note("started")
            self._check_volumes()
            self._start_probes()
            if not self._wait_for_end():
                self._stop_container(self._grace)
            self._stop_probing()
            end = self._collect()
            self._note(f"ended with {end.status}{', out of memory' if end.out_of_memory else ''}")
            if end.out_of_memory:
                self.on_fault(f"{self.name} had not enough memory")
            if self._deletion.is_set():
                return
            if self.template.spec.get("restartPolicy", "Always") == "Never":
                self.phase = "Failed" if end.status else "Succeeded"
                self._deletion.wait()
                return
            self.restarts += 1
            self._deletion.wait(back_off)
            back_off = min(max(2 * back_off, FIRST_BACK_OFF_SECONDS), LONGEST_BACK_OFF_SECONDS)

    def _check_volumes(self) -> None:
        """Notice what the image declares as a volume and the pod does not mount."""
        form = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{.Destination}}\n{{end}}{{end}}'
        known = {volume.engine_name for volume in self._volumes}
        for line in self.engine.docker("inspect", "--format", form, self._id).split("\n"):
            name, _, place = line.partition(" ")
            if name and name not in known:
                self.on_fault(f"{self.name}: what is written to {place} is lost with the container")

    def _wait_for_end(self) -> bool:
        """Wait until the container has ended by itself (True) or the pod is deleted (False)."""
        waiting = subprocess.Popen(
            ["docker", "wait", self._id], env=dict(self.engine.environment), stdout=subprocess.DEVNULL
        )
        try:
            while waiting.poll() is None:
                if self._deletion.wait(0.05):
                    return waiting.poll() is not None
            return True
        finally:
            waiting.terminate()
            waiting.wait()

    def _start_probes(self) -> None:
        others = [name for name in ("livenessProbe", "readinessProbe") if name in self._container]
        if "startupProbe" not in self._container:
            self._start_other_probes(others)
            return

        def on_startup(good: bool, wrong: str) -> None:
            startup.stop.set()
            if good:
                self._note("is up")
                self._start_other_probes(others)
            else:
                self._restart(f"its startup probe failed: {wrong}")

        startup = self._prober("startupProbe", on_startup)

    def _start_other_probes(self, names: Sequence[str]) -> None:
        if "livenessProbe" in names:
            self._prober("livenessProbe", self._on_liveness)
        if "readinessProbe" in names:
            self._prober("readinessProbe", self._on_readiness)
        else:
            self._on_readiness(True, "")

    def _prober(self, name: str, on_change: Callable[[bool, str], None]) -> probes.Prober:
        probe = self._container[name]
        prober = probes.Prober(probe, probes.make(probe, self.address, self._port, self._execute), on_change)
        self._probers.append(prober)
        prober.start()
        return prober

    def _port(self, named: Any) -> int:
        number = named if isinstance(named, int) else self.template.port(named)
        assert number is not None, f"no port is {named}"
        return number

    def _execute(self, command: Sequence[str], timeout_seconds: float) -> str:
        try:
            done = self.engine.run("docker", "exec", self._id, *command, timeout_seconds=timeout_seconds)
        except subprocess.TimeoutExpired:
            return f"{command}: not within {timeout_seconds} s"
        return f"{command}: status {done.status} {done.out}{done.err}" if done.status else ""

    def _on_readiness(self, good: bool, wrong: str) -> None:
        self.unready_because = wrong
        if good and self.ready_at is None:
            self.ready_at = time.monotonic()
            self._note("ready")
        elif not good and self.ready_at is not None:
            self.ready_at = None
            self._note(f"not ready: {wrong}")

    def _on_liveness(self, good: bool, wrong: str) -> None:
        if not good and not self.is_deleted:
            self._restart(f"its liveness probe failed: {wrong}")

    def _restart(self, why: str) -> None:
        self._note(f"restarted, because {why}")
        self._stop_probing()
        self.engine.docker("stop", "--time", str(round(self._grace)), self._id, check=False)

    def _stop_probing(self) -> None:
        for prober in self._probers:
            prober.stop.set()
        self._probers.clear()
        self.ready_at = None

    def _stop_container(self, grace: float) -> None:
        """Do what `preStop` says, ask the container to end, and kill it when its grace period is over."""
        began = time.monotonic()
        # A pod that ends is still asked whether it is ready, and no longer whether it lives.
        for prober in self._probers:
            if prober.probe is not self._container.get("readinessProbe"):
                prober.stop.set()
        hook = self._container.get("lifecycle", {}).get("preStop", {})
        if grace:
            if "sleep" in hook:
                time.sleep(min(grace, hook["sleep"]["seconds"]))
            elif "exec" in hook:
                self._execute(hook["exec"]["command"], grace)
        left = max(0.0, grace - (time.monotonic() - began))
        if left == 0:
            self.engine.docker("kill", "--signal", "KILL", self._id, check=False)
        else:
            self.engine.docker("stop", "--time", str(round(left)), self._id, check=False)
        self.stop_seconds = time.monotonic() - began
        if grace and self.stop_seconds >= grace:
            self.on_fault(f"{self.name} did not end within its {grace:g} s")

    def _logs(self) -> str:
        done = self.engine.run("docker", "logs", "--tail", "2000", self._id)
        return done.out + done.err

    def _collect(self) -> End:
        """Note how the container ended, and remove it."""
        form = "{{.State.ExitCode}} {{.State.OOMKilled}}"
        status, out_of_memory = self.engine.docker("inspect", "--format", form, self._id).split()
        end = End(int(status), out_of_memory == "true", self._logs())
        self.ends.append(end)
        self.engine.docker("rm", "--force", "--volumes", self._id, check=False)
        return end

    def _remove(self) -> None:
        for volume in self._volumes:
            self._check_size(volume)
        if self._id:
            self.engine.docker("rm", "--force", "--volumes", self._id, check=False)
        self.engine.docker("rm", "--force", "--volumes", self._sandbox, check=False)
        passing = [volume.engine_name for volume in self._volumes if not volume.claimed]
        if passing:
            self.engine.docker("volume", "rm", "--force", *passing, check=False)
        self._note("gone")

    def _check_size(self, volume: Volume) -> None:
        if volume.limit_bytes is None or volume.options:
            return
        said = self.engine.docker(
            "exec", self._sandbox, "du", "-s", "-B1", f"{VOLUMES}/{volume.name}", check=False
        )
        if said and int(said.split()[0]) > volume.limit_bytes:
            self.on_fault(f"{self.name} would be evicted: volume {volume.name} holds {said.split()[0]} bytes")
