"""What an object names is there."""

import re
from collections.abc import Iterator

from airq.config import read_settings
from tests.deployment.rendering import Manifests, Object, Pod, name_of

PROVIDED = {"cache-tls"}
"""Secrets that the cluster's owner or its certificate manager brings."""

IMAGE_SETTINGS = {"AIRQ_CSV"}
"""Read by the image's own start script."""


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Tell whether a label selector selects what has these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def selected(manifests: Manifests, selector: Object) -> list[Pod]:
    """Return the pods that a label selector selects."""
    return [pod for pod in manifests.pods() if matches(selector, pod.labels)]


def selectors_meet_labels(manifests: Manifests) -> list[str]:
    """Workloads select their own pods and no others, and every other selector selects pods."""
    faults = []
    for pod in manifests.pods():
        if pod.owner["kind"] in ("Deployment", "StatefulSet", "DaemonSet"):
            found = selected(manifests, pod.owner["spec"]["selector"])
            if [one.owner for one in found] != [pod.owner]:
                faults.append(f"{name_of(pod.owner)} selects {[one.name for one in found]}")
        spreads = [one["labelSelector"] for one in pod.spec.get("topologySpreadConstraints", [])]
        if not all(matches(selector, pod.labels) for selector in spreads):
            faults.append(f"{name_of(pod.owner)} is not spread with its own pods")
    for service in manifests.of("Service"):
        found = selected(manifests, {"matchLabels": service["spec"].get("selector", {"": ""})})
        if len(found) != 1:
            faults.append(f"{name_of(service)} leads to {[one.name for one in found]}")
    faults += [
        f"{name_of(one)} does not select the pods of one workload"
        for one in manifests.of("PodDisruptionBudget")
        if len(selected(manifests, one["spec"]["selector"])) != 1
    ]
    return faults + [
        f"{name_of(one)} selects no pod"
        for one in manifests.of("NetworkPolicy")
        if not selected(manifests, one["spec"]["podSelector"])
    ]


def ports_exist(manifests: Manifests) -> list[str]:
    """Services, probes and routes name ports that somebody has."""
    faults = []
    for service in manifests.of("Service"):
        for pod in selected(manifests, {"matchLabels": service["spec"].get("selector", {})}):
            targets = [port["targetPort"] for port in service["spec"]["ports"]]
            faults += [
                f"{name_of(service)} leads to port {target}, which no container has"
                for target in targets
                if pod.port(target) is None
            ]
    for pod in manifests.pods():
        for container in pod.spec["containers"]:
            named = {port.get("name") for port in container.get("ports", [])}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(kind, {})
                asked = probe.get("httpGet", probe.get("tcpSocket", {})).get("port")
                if asked is not None and asked not in named:
                    faults.append(f"{name_of(pod.owner)} asks port {asked} in its {kind}")
    for name, port in _backends(manifests):
        if not manifests.has("Service", name):
            faults.append(f"a route leads to Service {name}, which is not there")
        elif not any(
            port in (one["name"], one["port"]) for one in manifests.get("Service", name)["spec"]["ports"]
        ):
            faults.append(f"a route leads to port {port} of Service {name}, which it has not")
    return faults


def _backends(manifests: Manifests) -> Iterator[tuple[str, object]]:
    for ingress in manifests.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield service["name"], next(iter(service["port"].values()))
    for route in manifests.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                yield backend["name"], backend["port"]


def references_exist(manifests: Manifests) -> list[str]:
    """Every ConfigMap, Secret, key, ServiceAccount, volume and Service that is named is there."""
    faults = []
    for pod in manifests.pods():
        named = list(_named_by(pod))
        for kind, name, key in named:
            if kind == "Secret" and (name in PROVIDED or _comes_from_outside(manifests, name, key)):
                continue
            if not manifests.has(kind, name):
                faults.append(f"{name_of(pod.owner)} names {kind} {name}, which is not there")
            elif key is not None and key not in manifests.get(kind, name)["data"]:
                faults.append(f"{name_of(pod.owner)} names {key} in {kind} {name}, which it has not")
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        claims = pod.owner["spec"].get("volumeClaimTemplates", [])
        volumes |= {claim["metadata"]["name"] for claim in claims}
        mounted = {mount["name"] for one in pod.containers for mount in one.get("volumeMounts", [])}
        if mounted != volumes:
            faults.append(f"{name_of(pod.owner)} has volumes {sorted(volumes)} and mounts {sorted(mounted)}")
    for one in manifests.of("StatefulSet"):
        if not manifests.has("Service", one["spec"]["serviceName"]):
            faults.append(f"{name_of(one)} names Service {one['spec']['serviceName']}, which is not there")
        elif manifests.get("Service", one["spec"]["serviceName"])["spec"].get("clusterIP") != "None":
            faults.append(f"{name_of(one)} needs a headless Service")
    for one in manifests.of("HorizontalPodAutoscaler"):
        target = one["spec"]["scaleTargetRef"]
        if not manifests.has(target["kind"], target["name"]):
            faults.append(f"{name_of(one)} scales {target['kind']} {target['name']}, which is not there")
    for one in manifests.of("HTTPRoute"):
        for parent in one["spec"]["parentRefs"]:
            listeners = [
                listener["name"]
                for gateway in manifests.of("Gateway")
                if gateway["metadata"]["name"] == parent["name"]
                for listener in gateway["spec"]["listeners"]
            ]
            if parent["sectionName"] not in listeners:
                faults.append(
                    f"{name_of(one)} names {parent['name']}/{parent['sectionName']}, which is not there"
                )
    return faults


def _comes_from_outside(manifests: Manifests, name: str, key: str | None) -> bool:
    """Tell whether a secret manager fills a Secret's key."""
    return any(
        one["spec"]["target"]["name"] == name
        and any(entry["secretKey"] == key for entry in one["spec"]["data"])
        for one in manifests.of("ExternalSecret")
    )


def _named_by(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    yield "ServiceAccount", pod.spec.get("serviceAccountName", "default"), None
    for container in pod.containers:
        for source in container.get("envFrom", []):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source:
                    yield kind, source[key]["name"], None
        for variable in container.get("env", []):
            origin = variable.get("valueFrom", {})
            for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if key in origin:
                    yield kind, origin[key]["name"], origin[key]["key"]
    for volume in pod.spec.get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if "configMap" in source:
                keys = [item["key"] for item in source["configMap"].get("items", [])]
                for item in keys or [None]:
                    yield "ConfigMap", source["configMap"]["name"], item
            if "secret" in source:
                yield "Secret", source["secret"]["secretName"], None


def settings_are_settings(manifests: Manifests) -> list[str]:
    """Variables of airq's containers are airq's settings, with allowed values, and nothing is left open."""
    faults = []
    for pod in manifests.pods():
        for container in pod.containers:
            environment = manifests.environment(container)
            for name, value in environment.items():
                if re.search(r"\$\(", value):
                    faults.append(
                        f"{name_of(pod.owner)}: {name} refers to a variable that is not set before it"
                    )
            if not _repository(container).endswith("airq-api"):
                continue
            known = {name: value for name, value in environment.items() if name not in IMAGE_SETTINGS}
            faults += [
                f"{name_of(pod.owner)}: {name} is no setting of airq" for name in read_settings(known).unknown
            ]
    return faults


def _repository(container: Object) -> str:
    return str(re.split("[:@]", str(container["image"]).rpartition("/")[2])[0])


def hosts_in_urls_exist(manifests: Manifests) -> list[str]:
    """Names in settings are names of Services, with a port that they have, or of the outside."""
    faults = []
    for pod in manifests.pods():
        for container in pod.containers:
            environment = manifests.environment(container)
            asked = [(environment.get("AIRQ_API_HOST"), environment.get("AIRQ_API_PORT"))]
            for value in environment.values():
                found = re.match(r"(?:postgresql|http)://(?:[^@/]*@)?([^/]+)/", value)
                default = "5432" if value.startswith("postgresql") else "80"
                for place in found[1].split(",") if found else []:
                    host, _, port = place.partition(":")
                    asked.append((host, port or default))
            for host, port in asked:
                if host is None or "." in host:
                    continue
                if not manifests.has("Service", host):
                    faults.append(f"{name_of(pod.owner)} asks {host}, which no Service is called")
                elif port not in [
                    str(one["port"]) for one in manifests.get("Service", host)["spec"]["ports"]
                ]:
                    faults.append(f"{name_of(pod.owner)} asks {host}:{port}, a port that it has not")
    return faults


RULES = [
    selectors_meet_labels,
    ports_exist,
    references_exist,
    settings_are_settings,
    hosts_in_urls_exist,
]
