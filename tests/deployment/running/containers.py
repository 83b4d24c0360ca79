"""A pod's containers and volumes as arguments for `docker`: what the manifest says, and nothing more."""

import io
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from tests.deployment.rendering import Manifests, Object
from tests.deployment.running import objects
from tests.deployment.running.fields import Unsupported, at_path, bytes_of, cores_of

VOLUMES = "/volumes"
"""Where a pod's sandbox has its volumes."""


@dataclass(frozen=True)
class Volume:
    """A volume of one pod.

    Args:
        name: as the pod calls it.
        engine_name: as the engine does.
        options: for `docker volume create`.
        files: path → content, for one that is made of a ConfigMap or Secret.
        mode: of these files.
        limit_bytes: what may lie in it, where that is limited.
        claimed: it outlives the pod.
    """

    name: str
    engine_name: str
    options: tuple[str, ...] = ()
    files: dict[str, str] | None = None
    mode: int = 0o644
    limit_bytes: int | None = None
    claimed: bool = False


def volumes(
    manifests: Manifests, spec: Object, claims: Sequence[Object], prefix: str, claim_prefix: str
) -> list[Volume]:
    """Return the volumes of a pod.

    Args:
        claims: the templates of its workload's claims.
        prefix: what the engine's names begin with.
        claim_prefix: the same for volumes that outlive the pod.

    Raises:
        Unsupported: one is of a kind that is not known, or its source is not there.
    """
    found = [
        Volume(name, f"{claim_prefix}{name}", claimed=True)
        for name in (claim["metadata"]["name"] for claim in claims)
    ]
    for volume in spec.get("volumes", []):
        name, engine_name = volume["name"], f"{prefix}{volume['name']}"
        if "emptyDir" in volume:
            limit = volume["emptyDir"].get("sizeLimit")
            size = bytes_of(limit) if limit else None
            options: tuple[str, ...] = ()
            if volume["emptyDir"].get("medium") == "Memory":
                how = f"o=mode=0777{f',size={size}' if size else ''}"
                options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", how)
            found.append(Volume(name, engine_name, options, limit_bytes=size))
        elif "configMap" in volume or "secret" in volume:
            kind = "ConfigMap" if "configMap" in volume else "Secret"
            source = volume["configMap" if kind == "ConfigMap" else "secret"]
            held = objects.data(manifests, kind, source["name" if kind == "ConfigMap" else "secretName"])
            items = source.get("items", [{"key": key, "path": key} for key in held])
            files = {item["path"]: held[item["key"]] for item in items}
            found.append(Volume(name, engine_name, files=files, mode=source.get("defaultMode", 0o644)))
        elif "projected" in volume:
            sources = [source["configMap"]["name"] for source in volume["projected"]["sources"]]
            together = {k: v for one in sources for k, v in objects.data(manifests, "ConfigMap", one).items()}
            found.append(Volume(name, engine_name, files=together))
        else:
            raise Unsupported(f"volume {name} is of none of the kinds that the runner knows")
    return found


def archive(files: dict[str, str], mode: int, group: int) -> bytes:
    """Return a ConfigMap's or Secret's files as a tar, laid out as the kubelet does it.

    The files lie in a directory named by a time; `..data` leads there, and each file's name into `..data`,
    so that all of them change at once.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, kind: bytes, *, content: bytes = b"", target: str = "", bits: int = 0o755) -> None:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), target
            entry.mode, entry.gid = bits, group
            tar.addfile(entry, io.BytesIO(content))

        moment = "..2026_01_01_00_00_00.0000000001"
        add(moment, tarfile.DIRTYPE)
        for name, text in files.items():
            add(f"{moment}/{name}", tarfile.REGTYPE, content=text.encode(), bits=mode)
        add("..data", tarfile.SYMTYPE, target=moment)
        for name in files:
            add(name, tarfile.SYMTYPE, target=f"..data/{name}")
    return buffer.getvalue()


def preparation(volume: Volume, spec: Object) -> str:
    """Return the shell commands that give a volume the owner and the rights that Kubernetes gives it."""
    place = f"{VOLUMES}/{volume.name}"
    security = spec.get("securityContext", {})
    group = security.get("fsGroup")
    lines = []
    if volume.claimed:
        # A new disk's file system has this directory, and belongs to root.
        lines.append(f"mkdir -p -m 0700 {place}/lost+found")
    else:
        lines.append(f"chmod 0777 {place}")
    if volume.files is not None:
        lines.append(f"tar -x --no-same-owner -C {place}")
    if group is not None:
        give = (
            f"chgrp -R {group} {place} && chmod -R g+rwX {place}"
            f" && find {place} -type d -exec chmod g+s {{}} +"
        )
        if security.get("fsGroupChangePolicy") == "OnRootMismatch":
            give = f'[ "$(stat -c %g {place})" = {group} ] && [ -g {place} ] || {{ {give}; }}'
        lines.append(give)
    return " && ".join(lines)


def mount_arguments(container: Object, held: Sequence[Volume]) -> list[str]:
    """Return the arguments that mount a container's volumes.

    Raises:
        Unsupported: it mounts a volume that the pod does not have.
    """
    known, arguments = {volume.name: volume for volume in held}, []
    for mount in container.get("volumeMounts", []):
        volume = known.get(mount["name"])
        if volume is None:
            raise Unsupported(f"{container['name']} mounts {mount['name']}, which its pod does not have")
        # What the image has at this place must not flow into the volume: Kubernetes does not do it.
        how = f"type=volume,source={volume.engine_name},destination={mount['mountPath']},volume-nocopy=true"
        if mount.get("readOnly") or volume.files is not None:
            how += ",readonly"
        arguments += ["--mount", how]
    return arguments


def security_arguments(spec: Object, container: Object) -> list[str]:
    """Return the arguments that take rights away from a container.

    Raises:
        Unsupported: it would run as root although its pod says that it must not.
    """
    pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
    user, group = pod.get("runAsUser"), pod.get("runAsGroup", 0)
    if pod.get("runAsNonRoot") and not user:
        raise Unsupported(f"{container['name']} has runAsNonRoot and no number of a user")
    arguments = [] if user is None else ["--user", f"{user}:{group}"]
    if "fsGroup" in pod:
        arguments += ["--group-add", str(pod["fsGroup"])]
    if own.get("readOnlyRootFilesystem"):
        arguments.append("--read-only")
    if own.get("allowPrivilegeEscalation") is False:
        arguments += ["--security-opt", "no-new-privileges"]
    for capability in at_path(own, "capabilities", "drop", default=[]):
        arguments += ["--cap-drop", capability]
    if at_path(pod, "seccompProfile", "type") != "RuntimeDefault":
        arguments += ["--security-opt", "seccomp=unconfined"]
    return arguments


def resource_arguments(container: Object) -> list[str]:
    """Return the arguments for a container's memory limit and its share of the processor."""
    arguments = []
    memory = at_path(container, "resources", "limits", "memory")
    if memory:
        size = str(bytes_of(memory))
        arguments += ["--memory", size, "--memory-swap", size]
    cpu = at_path(container, "resources", "requests", "cpu")
    if cpu:
        arguments += ["--cpu-shares", str(max(2, round(cores_of(cpu) * 1024)))]
    return arguments


def command_arguments(container: Object, environment: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return what stands before the image (the entrypoint) and behind it.

    `command` stands in the place of the image's entrypoint and of its command, `args` in that of its command.
    """

    def expand(words: Sequence[str]) -> list[str]:
        return [
            re.sub(r"\$\(([A-Za-z_][\w.-]*)\)", lambda at: environment.get(at[1], at[0]), word)
            for word in words
        ]

    command, arguments = expand(container.get("command", [])), expand(container.get("args", []))
    if not command:
        return [], arguments
    return ["--entrypoint", command[0]], [*command[1:], *arguments]
