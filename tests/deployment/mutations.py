# ruff: noqa: E501 - A table with one mutation a line can be read; wrapped, it could not.
"""Faults put into rendered manifests, one at a time, and the rule that must notice each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.deployment.rendering import NAME, Manifests, Object

PRODUCTION = "overlays/production"


@dataclass(frozen=True)
class Mutation:
    """A fault.

    Args:
        rule: the one that must notice it.
        fault: what is wrong, in words.
        make: puts it into the objects.
        overlay: where.
    """

    rule: str
    fault: str
    make: Callable[[Manifests], None]
    overlay: str = PRODUCTION

    def __str__(self) -> str:
        return f"{self.rule}: {self.fault}"


def put(kind: str, name: str, path: str, value: Any) -> Callable[[Manifests], None]:
    """Set a field, given by a path between slashes; numbers lead into lists."""

    def change(manifests: Manifests) -> None:
        place, last = _walk(manifests.get(kind, name), path)
        place[last] = value

    return change


def drop(kind: str, name: str, path: str) -> Callable[[Manifests], None]:
    """Remove a field."""

    def change(manifests: Manifests) -> None:
        place, last = _walk(manifests.get(kind, name), path)
        del place[last]

    return change


def remove(kind: str, name: str) -> Callable[[Manifests], None]:
    """Remove an object."""
    return lambda manifests: manifests.remove(manifests.get(kind, name))


def _walk(one: Object, path: str) -> tuple[Any, Any]:
    # A slash within a name is written ~1.
    *parts, last = [int(p) if p.isdigit() else p.replace("~1", "/") for p in path.split("/")]
    place: Any = one
    for part in parts:
        place = place[part]
    return place, last


def _add_role(manifests: Manifests) -> None:
    manifests.append({"kind": "Role", "metadata": {"name": "extra", "namespace": "airq-production"}})


def _repeat(manifests: Manifests) -> None:
    manifests.append(manifests.get("Service", "api"))


def _put_namespace_last(manifests: Manifests) -> None:
    manifests.append(manifests.pop(0))


def _share_secret(manifests: Manifests) -> None:
    data = manifests.get("Secret", "secrets")["data"]
    data["AIRQ_READER_PASSWORD"] = data["AIRQ_LOADER_PASSWORD"]


POD = "spec/template/spec"
MAIN = f"{POD}/containers/0"
LABELS = "spec/template/metadata/labels"
NAMED = NAME.replace("/", "~1")
POLICY = ("ValidatingAdmissionPolicy", "airq-production-keep-data")

MUTATIONS = [
    Mutation("selectors_meet_labels", "the API's Service selects nobody", put("Service", "api", f"spec/selector/{NAMED}", "apis")),
    Mutation("selectors_meet_labels", "two workloads share a label", put("Deployment", "cache", f"{LABELS}/{NAMED}", "api")),
    Mutation("selectors_meet_labels", "a policy selects nobody", put("NetworkPolicy", "cache-sends", f"spec/podSelector/matchLabels/{NAMED}", "varnish")),
    Mutation("selectors_meet_labels", "a budget selects nobody", put("PodDisruptionBudget", "api", f"spec/selector/matchLabels/{NAMED}", "web")),
    Mutation("selectors_meet_labels", "pods are spread with others' pods", put("Deployment", "api", f"{POD}/topologySpreadConstraints/0/labelSelector/matchLabels/{NAMED}", "cache")),
    Mutation("ports_exist", "a Service leads to a port that nobody has", put("Service", "cache", "spec/ports/0/targetPort", "web")),
    Mutation("ports_exist", "a probe asks a port that nobody has", put("Deployment", "api", f"{MAIN}/readinessProbe/httpGet/port", "https")),
    Mutation("ports_exist", "an Ingress leads to a port that the Service has not", put("Ingress", "cache", "spec/rules/0/http/paths/0/backend/service/port", {"name": "https"}), "combinations/ingress"),
    Mutation("ports_exist", "a route leads to a Service that is not there", put("HTTPRoute", "cache", "spec/rules/0/backendRefs/0/name", "web"), "combinations/gateway"),
    Mutation("references_exist", "a ConfigMap is not there", put("Deployment", "api", f"{MAIN}/envFrom/0/configMapRef/name", "api-settings")),
    Mutation("references_exist", "a Secret's key is not there", put("Deployment", "api", f"{MAIN}/env/0/valueFrom/secretKeyRef/key", "READER")),
    Mutation("references_exist", "a ServiceAccount is not there", put("Deployment", "cache", f"{POD}/serviceAccountName", "varnish")),
    Mutation("references_exist", "a volume is mounted that is not there", put("StatefulSet", "database", f"{MAIN}/volumeMounts/1/name", "config")),
    Mutation("references_exist", "a StatefulSet's Service is not there", put("StatefulSet", "database", "spec/serviceName", "postgres")),
    Mutation("references_exist", "a StatefulSet's Service is not headless", put("StatefulSet", "database", "spec/serviceName", "database")),
    Mutation("references_exist", "an autoscaler scales what is not there", put("HorizontalPodAutoscaler", "api", "spec/scaleTargetRef/name", "web"), "combinations/autoscaling"),
    Mutation("references_exist", "a route names a listener that is not there", put("HTTPRoute", "redirect", "spec/parentRefs/0/sectionName", "plain"), "combinations/gateway"),
    Mutation("references_exist", "a secret manager leaves a key out", drop("ExternalSecret", "secrets", "spec/data/3"), "combinations/external-secrets"),
    Mutation("references_exist", "the sample's key is another one", put("Job", "load-0-1-0", f"{POD}/volumes/0/configMap/items/0/key", "data.csv"), "overlays/development"),
    Mutation("settings_are_settings", "a setting is misspelled", put("ConfigMap", "api-settings", "data", {"AIRQ_DRAIN_SECOND": "10"})),
    Mutation("settings_are_settings", "a URL refers to a variable behind it", put("Deployment", "api", f"{MAIN}/env", [{"name": "AIRQ_PURGE_TOKEN", "value": "$(TOKEN)"}])),
    Mutation("hosts_in_urls_exist", "the cache asks a Service that is not there", put("ConfigMap", "cache-settings", "data/AIRQ_API_HOST", "airq-api")),
    Mutation("hosts_in_urls_exist", "the load purges on a port that is none", put("ConfigMap", "load-settings", "data/AIRQ_PURGE_URL", "http://cache-purge:80/")),
    Mutation("hosts_in_urls_exist", "the API asks a database that is not there", put("ConfigMap", "api-database", "data/DATABASE_HOST", "postgres")),
    Mutation("pods_are_restricted", "a pod may run as root", drop("Deployment", "api", f"{POD}/securityContext/runAsNonRoot")),
    Mutation("pods_are_restricted", "a root file system can be written", put("Deployment", "cache", f"{MAIN}/securityContext/readOnlyRootFilesystem", False)),
    Mutation("pods_are_restricted", "a container keeps capabilities", put("Deployment", "cache", f"{MAIN}/securityContext/capabilities/drop", [])),
    Mutation("pods_are_restricted", "a container may gain privileges", put("StatefulSet", "database", f"{MAIN}/securityContext/allowPrivilegeEscalation", True)),
    Mutation("pods_are_restricted", "system calls are not filtered", put("StatefulSet", "database", f"{POD}/securityContext/seccompProfile/type", "Unconfined")),
    Mutation("pods_are_restricted", "a pod gets a token", put("Job", "load-0-1-0", f"{POD}/automountServiceAccountToken", True)),
    Mutation("pods_are_restricted", "a pod gets service links", drop("Job", "migrate-0-1-0", f"{POD}/enableServiceLinks")),
    Mutation("pods_are_restricted", "an image runs as another's user", put("StatefulSet", "database", f"{POD}/securityContext/runAsUser", 10001)),
    Mutation("pods_are_restricted", "a pod mounts a directory of its node", put("Deployment", "api", f"{POD}/volumes/0", {"name": "tmp", "hostPath": {"path": "/tmp"}})),
    Mutation("pods_are_restricted", "a pod is in its node's network", put("Deployment", "cache", f"{POD}/hostNetwork", True)),
    Mutation("pods_are_restricted", "a pod sees its node's processes", put("Deployment", "api", f"{POD}/hostPID", True)),
    Mutation("pods_are_restricted", "a pod shares memory with its node", put("StatefulSet", "database", f"{POD}/hostIPC", True)),
    Mutation("pods_are_restricted", "volumes belong to no group", drop("StatefulSet", "database", f"{POD}/securityContext/fsGroup")),
    Mutation("pods_are_restricted", "a volume can fill its node", drop("Deployment", "api", f"{POD}/volumes/0/emptyDir/sizeLimit")),
    Mutation("pods_are_restricted", "a container is privileged", put("Deployment", "cache", f"{MAIN}/securityContext/privileged", True)),
    Mutation("pods_are_restricted", "a container runs as root", put("Job", "load-0-1-0", f"{MAIN}/securityContext/runAsUser", 0)),
    Mutation("pods_are_restricted", "a container may run as root", put("Job", "migrate-0-1-0", f"{MAIN}/securityContext/runAsNonRoot", False)),
    Mutation("pods_are_restricted", "a container takes a port of its node", put("Deployment", "cache", f"{MAIN}/ports/0/hostPort", 80)),
    Mutation("pods_can_write_where_they_must", "Varnish's directory is missing", put("Deployment", "cache", f"{MAIN}/volumeMounts/1/mountPath", "/var/lib/cache")),
    Mutation("pods_can_write_where_they_must", "the database can't make its socket", put("StatefulSet", "database", f"{MAIN}/volumeMounts/2/readOnly", True)),
    Mutation("pods_have_resources", "a container has no limit of memory", drop("Deployment", "api", f"{MAIN}/resources/limits")),
    Mutation("pods_have_resources", "an init container asks for nothing", drop("StatefulSet", "database-replica", f"{POD}/initContainers/0/resources/requests"), "combinations/read-replica"),
    Mutation("objects_have_labels", "an object has no name label", drop("Service", "api", f"metadata/labels/{NAMED}")),
    Mutation("objects_have_labels", "a pod is part of nothing", drop("Deployment", "api", f"{LABELS}/app.kubernetes.io~1part-of")),
    Mutation("images_are_pinned", "an image is the latest", put("Deployment", "api", f"{MAIN}/image", "airq-api:latest")),
    Mutation("images_are_pinned", "an image has no tag", put("StatefulSet", "database", f"{MAIN}/image", "registry.example:5000/airq-database")),
    Mutation("probes_mean_something", "liveness asks the database", put("Deployment", "api", f"{MAIN}/livenessProbe/httpGet/path", "/readyz")),
    Mutation("probes_mean_something", "readiness does not ask the database", put("Deployment", "api", f"{MAIN}/readinessProbe/httpGet/path", "/livez")),
    Mutation("probes_mean_something", "the cache's readiness asks the API", put("Deployment", "cache", f"{MAIN}/readinessProbe/httpGet/path", "/stations")),
    Mutation("probes_mean_something", "nothing gives PostgreSQL time to recover", drop("StatefulSet", "database", f"{MAIN}/startupProbe")),
    Mutation("probes_mean_something", "there is less than a minute to start", put("Deployment", "cache", f"{MAIN}/startupProbe/failureThreshold", 20)),
    Mutation("probes_mean_something", "a slow second kills", put("Deployment", "api", f"{MAIN}/livenessProbe/failureThreshold", 1)),
    Mutation("probes_mean_something", "a probe gives up within a second", put("Deployment", "cache", f"{MAIN}/readinessProbe/timeoutSeconds", 1)),
    Mutation("ends_fit_into_grace_periods", "the API is killed while it finishes", put("Deployment", "api", f"{POD}/terminationGracePeriodSeconds", 30)),
    Mutation("ends_fit_into_grace_periods", "the API stops before nodes know", put("ConfigMap", "api-settings", "data/AIRQ_DRAIN_SECONDS", "0")),
    Mutation("ends_fit_into_grace_periods", "the cache breaks off what it sends", drop("Deployment", "cache", f"{MAIN}/lifecycle")),
    Mutation("ends_fit_into_grace_periods", "PostgreSQL is killed in its checkpoint", put("StatefulSet", "database", f"{POD}/terminationGracePeriodSeconds", 30)),
    Mutation("updates_lose_nothing", "an update takes a pod away first", put("Deployment", "api", "spec/strategy/rollingUpdate/maxUnavailable", 1)),
    Mutation("updates_lose_nothing", "the cache is stopped before the next one is there", put("Deployment", "cache", "spec/strategy", {"type": "Recreate"})),
    Mutation("updates_lose_nothing", "an update has no room", put("Deployment", "api", "spec/strategy/rollingUpdate/maxSurge", 0)),
    Mutation("updates_lose_nothing", "all pods on one node", put("Deployment", "api", f"{POD}/topologySpreadConstraints", [])),
    Mutation("updates_can_be_taken_back", "a broken database stays", drop("StatefulSet", "database", "spec/podManagementPolicy")),
    Mutation("updates_can_be_taken_back", "a broken replica stays", put("StatefulSet", "database-replica", "spec/podManagementPolicy", "OrderedReady"), "combinations/read-replica"),
    Mutation("budgets_allow_one_eviction", "a budget allows none", put("PodDisruptionBudget", "database", "spec/maxUnavailable", 0)),
    Mutation("budgets_allow_one_eviction", "a budget wants all to stay", put("PodDisruptionBudget", "cache", "spec/minAvailable", 1)),
    Mutation("budgets_allow_one_eviction", "a broken pod holds up its node", drop("PodDisruptionBudget", "api", "spec/unhealthyPodEvictionPolicy")),
    Mutation("budgets_allow_one_eviction", "the API has no budget", remove("PodDisruptionBudget", "api")),
    Mutation("jobs_end_and_are_named_by_release", "a Job keeps its name over releases", put("Job", "load-0-1-0", "metadata/name", "load")),
    Mutation("jobs_end_and_are_named_by_release", "a Job stays for ever", drop("Job", "migrate-0-1-0", "spec/ttlSecondsAfterFinished")),
    Mutation("jobs_end_and_are_named_by_release", "a Job runs for ever", drop("Job", "load-0-1-0", "spec/activeDeadlineSeconds")),
    Mutation("jobs_end_and_are_named_by_release", "a Job is tried once", put("Job", "migrate-0-1-0", "spec/backoffLimit", 0)),
    Mutation("jobs_end_and_are_named_by_release", "a Job does not wait", put("Job", "migrate-0-1-0", f"{MAIN}/args", ["migrate"])),
    Mutation("jobs_end_and_are_named_by_release", "nothing migrates", remove("Job", "migrate-0-1-0")),
    Mutation("jobs_end_and_are_named_by_release", "what a Job said is lost", put("Job", "load-0-1-0", f"{POD}/restartPolicy", "OnFailure")),
    Mutation("jobs_end_and_are_named_by_release", "a scheduled load runs for ever", drop("CronJob", "load", "spec/jobTemplate/spec/activeDeadlineSeconds"), "combinations/scheduled-load"),
    Mutation("jobs_end_and_are_named_by_release", "a scheduled load is tried once", put("CronJob", "load", "spec/jobTemplate/spec/backoffLimit", 0), "combinations/scheduled-load"),
    Mutation("jobs_end_and_are_named_by_release", "a scheduled load does not wait", drop("CronJob", "load", f"spec/jobTemplate/{MAIN}/args"), "combinations/scheduled-load"),
    Mutation("jobs_end_and_are_named_by_release", "what a scheduled load said is lost", put("CronJob", "load", f"spec/jobTemplate/{POD}/restartPolicy", "OnFailure"), "combinations/scheduled-load"),
    Mutation("jobs_end_and_are_named_by_release", "scheduled loads overlap", put("CronJob", "load", "spec/concurrencyPolicy", "Allow"), "combinations/scheduled-load"),
    Mutation("pools_fit_into_the_database", "pools are too large", put("ConfigMap", "api-settings", "data/AIRQ_POOL_SIZE", "20")),
    Mutation("pools_fit_into_the_database", "there are too many pods", put("HorizontalPodAutoscaler", "api", "spec/maxReplicas", 40), "combinations/autoscaling"),
    Mutation("pools_fit_into_the_database", "the database takes too few", put("ConfigMap", "database-settings", "data/kubernetes.conf", "max_connections = 100\n")),
    Mutation("memory_holds_what_it_is_for", "the cache stores more than it may have", put("ConfigMap", "cache-settings", "data/AIRQ_CACHE_SIZE", "1g")),
    Mutation("memory_holds_what_it_is_for", "shared buffers fill the limit", put("ConfigMap", "database-settings", "data/production.conf", "shared_buffers = 2GB\n")),
    Mutation("memory_holds_what_it_is_for", "files in memory fill the limit", put("Deployment", "cache", f"{POD}/volumes/1/emptyDir/sizeLimit", "1Gi")),
    Mutation("volumes_hold_the_log_of_writes", "the log of writes fills the volume", put("ConfigMap", "database-settings", "data/development.conf", "max_wal_size = 1GB\n"), "overlays/development"),
    Mutation("volumes_hold_the_log_of_writes", "what a replica lacks fills the volume", put("ConfigMap", "database-settings", "data/replication.conf", "max_slot_wal_keep_size = 8GB\n"), "combinations/read-replica"),
    Mutation("volumes_hold_the_same_data", "the replica's volume is smaller", put("StatefulSet", "database-replica", "spec/volumeClaimTemplates/0/spec/resources/requests/storage", "5Gi"), "combinations/read-replica"),
    Mutation("data_stays", "the volume goes with the StatefulSet", put("StatefulSet", "database", "spec/persistentVolumeClaimRetentionPolicy/whenDeleted", "Delete")),
    Mutation("data_stays", "the data has no volume", put("StatefulSet", "database", "spec/volumeClaimTemplates", [])),
    Mutation("data_stays", "another namespace is kept", put("ValidatingAdmissionPolicyBinding", "airq-production-keep-data", "spec/matchResources/objectSelector/matchLabels/kubernetes.io~1metadata.name", "airq-staging")),
    Mutation("data_stays", "the policy is not there", remove("ValidatingAdmissionPolicy", "airq-production-keep-data")),
    Mutation("data_stays", "the policy is asked of other things", put(*POLICY, "spec/matchConstraints/resourceRules/0/resources", ["pods"])),
    Mutation("data_stays", "the policy is asked of other acts", put(*POLICY, "spec/matchConstraints/resourceRules/0/operations", ["UPDATE"])),
    Mutation("data_stays", "what can't be judged passes", put(*POLICY, "spec/failurePolicy", "Ignore")),
    Mutation("data_stays", "a refusal is a warning", put("ValidatingAdmissionPolicyBinding", "airq-production-keep-data", "spec/validationActions", ["Warn"])),
    Mutation("data_stays", "any annotation lets delete", put(*POLICY, "spec/validations/0/expression", "has(oldObject.metadata.annotations)")),
    Mutation("data_stays", "another value lets delete", put(*POLICY, "spec/validations/0/expression", "has(oldObject.metadata.annotations) && 'airq/delete-data' in oldObject.metadata.annotations")),
    Mutation("data_stays", "nothing lets delete", put(*POLICY, "spec/validations/0/expression", "false")),
    Mutation("data_stays", "the refusal invites to try again", put(*POLICY, "spec/validations/0/message", "not now")),
    Mutation("data_stays", "the policy is deleted before the namespace", _put_namespace_last),
    Mutation("data_stays", "nothing keeps the namespace", remove("ValidatingAdmissionPolicyBinding", "airq-production-keep-data")),
    Mutation("objects_are_in_one_namespace", "an object is somewhere else", put("Service", "api", "metadata/namespace", "default")),
    Mutation("objects_are_in_one_namespace", "a cluster-wide object has a namespace", put("ValidatingAdmissionPolicy", "airq-production-keep-data", "metadata/namespace", "airq-production")),
    Mutation("objects_are_in_one_namespace", "there is a kind that nobody expects, a Role", _add_role),
    Mutation("objects_are_in_one_namespace", "an object is there twice", _repeat),
    Mutation("objects_are_in_one_namespace", "the profile is not enforced", put("Namespace", "airq-production", "metadata/labels/pod-security.kubernetes.io~1enforce", "baseline")),
    Mutation("secrets_reach_who_needs_them", "the API gets the owner's password", put("Deployment", "api", f"{MAIN}/env/0/valueFrom/secretKeyRef/key", "AIRQ_OWNER_PASSWORD")),
    Mutation("secrets_reach_who_needs_them", "a pod gets all secrets", put("Deployment", "cache", f"{MAIN}/envFrom/0", {"secretRef": {"name": "secrets"}})),
    Mutation("secrets_reach_who_needs_them", "a placeholder is left", put("Secret", "secrets", "data/AIRQ_PURGE_TOKEN", "Y2hhbmdlLW1l")),
    Mutation("secrets_reach_who_needs_them", "two roles share a password", _share_secret),
    Mutation("the_cache_has_all_of_its_rules", "a file of rules is missing", drop("ConfigMap", "cache-rules", "data/storing.vcl")),
    Mutation("the_cache_has_all_of_its_rules", "a rule is not as at home", put("ConfigMap", "cache-rules", "data/ready.vcl", "")),
    Mutation("needed_edges_are_open_and_no_others", "the cache can't reach the API", remove("NetworkPolicy", "cache-asks-api")),
    Mutation("needed_edges_are_open_and_no_others", "the API can reach everything", put("NetworkPolicy", "api-reads-database", "spec/egress/0", {})),
    Mutation("needed_edges_are_open_and_no_others", "the cache can reach the database", put("NetworkPolicy", "clients-ask-database", "spec/ingress/0/from", [{"podSelector": {}}, {"namespaceSelector": {}}])),
    Mutation("needed_edges_are_open_and_no_others", "nobody can ask for names", remove("NetworkPolicy", "names")),
    Mutation("needed_edges_are_open_and_no_others", "names go to the internet", drop("NetworkPolicy", "names", "spec/egress/0/to")),
    Mutation("needed_edges_are_open_and_no_others", "the load can't purge", drop("NetworkPolicy", "load-sends", "spec/egress/1")),
    Mutation("needed_edges_are_open_and_no_others", "the load can reach private networks", drop("NetworkPolicy", "load-sends", "spec/egress/2/to/0/ipBlock/except")),
    Mutation("needed_edges_are_open_and_no_others", "the load can reach private networks (IPv6)", drop("NetworkPolicy", "load-sends", "spec/egress/2/to/1/ipBlock/except")),
    *(
        Mutation("needed_edges_are_open_and_no_others", f"the load can reach the private network {number}", drop("NetworkPolicy", "load-sends", f"spec/egress/2/to/0/ipBlock/except/{number}"))
        for number in range(5)
    ),
    *(
        Mutation("needed_edges_are_open_and_no_others", f"the load can reach the private network (IPv6) {number}", drop("NetworkPolicy", "load-sends", f"spec/egress/2/to/1/ipBlock/except/{number}"))
        for number in range(2)
    ),
    Mutation("needed_edges_are_open_and_no_others", "purging is open to everybody", drop("NetworkPolicy", "load-purges-cache", "spec/ingress/0/from")),
    Mutation("needed_edges_are_open_and_no_others", "the public side is closed", remove("NetworkPolicy", "everybody-asks-cache")),
    Mutation("needed_edges_are_open_and_no_others", "a port is another one", put("NetworkPolicy", "api-reads-database", "spec/egress/0/ports/0/port", 5433)),
    Mutation("needed_edges_are_open_and_no_others", "the replica can't follow", remove("NetworkPolicy", "replica-asks-database"), "combinations/read-replica"),
    Mutation("needed_edges_are_open_and_no_others", "scheduled loads can't purge", remove("NetworkPolicy", "load-purges-cache"), "combinations/scheduled-load"),
    Mutation("needed_edges_are_open_and_no_others", "the managed database is everywhere", put("NetworkPolicy", "clients-ask-external-database", "spec/egress/0/to/0/ipBlock/cidr", "0.0.0.0/0"), "combinations/external-database"),
    Mutation("nothing_is_open_by_default", "what comes later is open", remove("NetworkPolicy", "deny-all")),
    Mutation("nothing_is_open_by_default", "what comes later may send", put("NetworkPolicy", "deny-all", "spec/policyTypes", ["Ingress"])),
]  # fmt: skip
