"""The network as a graph: who may reach whom on which port, against who needs to."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.deployment.rendering import Manifests, Object
from tests.deployment.rules.references import matches

Edge = tuple[str, str, str]
"""(who asks, who is asked, protocol and port)"""


@dataclass(frozen=True)
class Place:
    """Something that sends or receives: pods of one kind, or an address.

    Args:
        name: how edges call it.
        labels: of a pod; None for what is no pod.
        namespace: of a pod, with its labels; None for the overlay's own.
        address: of what is no pod.
    """

    name: str
    labels: dict[str, str] | None = None
    namespace: dict[str, str] | None = None
    address: str | None = None
    ports: frozenset[int] = field(default=frozenset())


_WEB = frozenset({53, 80, 443})
_INTERNET = frozenset({22, 53, 80, 443, 5432})
_NAMESPACE = "kubernetes.io/metadata.name"
OUTSIDE = [
    Place("another namespace", {"app": "x"}, {_NAMESPACE: "default"}, None, _WEB),
    Place("cluster DNS", {"k8s-app": "kube-dns"}, {_NAMESPACE: "kube-system"}, None, frozenset({53, 9153})),
    Place("resolver on the node", None, None, "169.254.20.10", frozenset({53, 80})),
    Place("cloud metadata", None, None, "169.254.169.254", frozenset({80})),
    Place("cloud metadata (IPv6)", None, None, "fd00:ec2::254", frozenset({80})),
    Place("private network 10/8", None, None, "10.1.2.3", _INTERNET),
    Place("private network 100.64/10", None, None, "100.100.2.3", _INTERNET),
    Place("private network 172.16/12", None, None, "172.31.2.3", _INTERNET),
    Place("private network 192.168/16", None, None, "192.168.2.3", _INTERNET),
    Place("link (IPv6)", None, None, "fe80::1", _INTERNET),
    Place("internet", None, None, "198.51.100.7", _INTERNET),
    Place("internet (IPv6)", None, None, "2001:db8::7", _INTERNET),
]


def _places(manifests: Manifests) -> list[Place]:
    places = [Place(pod.name, pod.labels, ports=frozenset(pod.ports)) for pod in manifests.pods()]
    server = _external_database(manifests)
    if server is not None:
        places.append(Place("external database", None, None, server, frozenset({22, 5432})))
    return [*places, *OUTSIDE]


def _external_database(manifests: Manifests) -> str | None:
    """Return the address of a database outside of the cluster."""
    url = manifests.environment(manifests.pod("api").main).get("AIRQ_READER_URL", "")
    found = re.search(r"@([\d.]+)(?::\d+)?/", url)
    return found[1] if found else None


def _policies(manifests: Manifests, place: Place, direction: str) -> list[Object]:
    """Return the policies that decide for pods of this namespace; none for all others."""
    if place.labels is None or place.namespace is not None:
        return []
    return [
        one
        for one in manifests.of("NetworkPolicy")
        if direction in one["spec"]["policyTypes"] and matches(one["spec"]["podSelector"], place.labels)
    ]


def _is_peer(peer: Object, place: Place) -> bool:
    if "ipBlock" in peer:
        if place.address is None:
            return False
        address = ipaddress.ip_address(place.address)
        block = ipaddress.ip_network(peer["ipBlock"]["cidr"])
        excepted = [ipaddress.ip_network(one) for one in peer["ipBlock"].get("except", [])]
        return address in block and not any(address in one for one in excepted)
    if place.labels is None:
        return False
    if "namespaceSelector" in peer:
        if place.namespace is None or not matches(peer["namespaceSelector"], place.namespace):
            return False
    elif place.namespace is not None:
        return False
    return matches(peer.get("podSelector", {}), place.labels)


def _allows(policies: list[Object], direction: str, other: Place, protocol: str, port: int) -> bool:
    """Tell whether any of these policies allows it; where there is none, everything is allowed."""
    if not policies:
        return True
    key, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    for policy in policies:
        for rule in policy["spec"].get(key, []):
            if peers in rule and not any(_is_peer(peer, other) for peer in rule[peers]):
                continue
            ports = rule.get("ports")
            if ports is None or any(
                (one.get("protocol", "TCP"), one.get("port", port)) == (protocol, port) for one in ports
            ):
                return True
    return False


def edges(manifests: Manifests) -> Iterator[Edge]:
    """Give every edge that is open and that has a pod of the overlay at one end, or at both."""
    places = _places(manifests)
    for source in places:
        for target in places:
            ours = [one for one in (source, target) if one.labels is not None and one.namespace is None]
            if not ours:
                continue
            for port in sorted(target.ports):
                for protocol in ("TCP", "UDP"):
                    if protocol == "UDP" and port != 53:
                        continue
                    if _allows(
                        _policies(manifests, source, "Egress"), "Egress", target, protocol, port
                    ) and _allows(_policies(manifests, target, "Ingress"), "Ingress", source, protocol, port):
                        yield source.name, target.name, f"{protocol} {port}"


def needed_edges(manifests: Manifests) -> set[Edge]:
    """Return the edges that the overlay's pods need, and no others."""
    pods = {pod.name for pod in manifests.pods()}
    needed = {("cache", "api", "TCP 8080")}
    database = "external database" if _external_database(manifests) else "database"
    jobs = pods & {"load", "scheduled-load"}
    needed |= {(client, database, "TCP 5432") for client in {"api", "migrate", *jobs}}
    for load in jobs:
        needed.add((load, "cache", "TCP 8081"))
        for outside in ("internet", "internet (IPv6)"):
            needed |= {(load, outside, f"TCP {port}") for port in (80, 443)}
    if "database-replica" in pods:
        needed |= {("database-replica", "database", "TCP 5432")}
        needed |= {(client, "database-replica", "TCP 5432") for client in {"api", *jobs}}
    for pod in pods:
        for resolver in ("cluster DNS", "resolver on the node"):
            needed |= {(pod, resolver, f"{protocol} 53") for protocol in ("TCP", "UDP")}
    # The public side, from everywhere outside of the namespace.
    needed |= {(one.name, "cache", "TCP 8080") for one in OUTSIDE}
    if _external_database(manifests):
        needed.add(("external database", "cache", "TCP 8080"))
    return needed


def needed_edges_are_open_and_no_others(manifests: Manifests) -> list[str]:
    """What must reach something does, and nothing else reaches anything."""
    found, needed = set(edges(manifests)), needed_edges(manifests)
    faults = [f"{source} can't reach {target} on {port}" for source, target, port in sorted(needed - found)]
    return faults + [
        f"{source} can reach {target} on {port}" for source, target, port in sorted(found - needed)
    ]


def _selects_everything(manifests: Manifests) -> bool:
    return any(
        one["spec"]["podSelector"] == {}
        and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not one["spec"].get("ingress")
        and not one["spec"].get("egress")
        for one in manifests.of("NetworkPolicy")
    )


def nothing_is_open_by_default(manifests: Manifests) -> list[str]:
    """Pods that come later are closed too."""
    return [] if _selects_everything(manifests) else ["no policy closes what has none of its own"]


RULES = [needed_edges_are_open_and_no_others, nothing_is_open_by_default]
