"""While pods are replaced or lost, those who read at the cache notice nothing."""

import time
from copy import deepcopy

import pytest

from tests.deployment.mutations import MAIN, drop, put
from tests.deployment.rendering import SHOWN, Manifests
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.conftest import BREAKING, NEXT_VERSION, VERSION, Show
from tests.deployment.running.readers import Readers, reading
from tests.deployment.running.services import SLOW_PROPAGATION_SECONDS
from tests.deployment.running.workloads import Deployment

API = ("Deployment", "api")
ROLLOUT_SECONDS = 180.0
READINESS_SECONDS = 6.0
"""Some periods of the readiness probe."""

GRACE_MARGIN_SECONDS = 5.0


def of_version(production: Manifests, version: str) -> Manifests:
    """Return production with another version of the API alone."""
    changed = deepcopy(production)
    put("Deployment", "api", f"{MAIN}/image", f"airq-api:{version}")(changed)
    return changed


def assert_nothing_failed(readers: Readers) -> None:
    """Every reader got enough answers, all of them good."""
    assert readers.failed() == []
    assert len(readers.cached.seen) > 100
    assert len(readers.uncached.seen) > 50
    assert len(readers.exports.seen) > 5


def test_an_update_and_its_rollback_lose_no_request(
    cluster: Cluster, production: Manifests, show: Show
) -> None:
    port = cluster.port("cache", 80)
    api = cluster.workload("Deployment", "api")
    assert isinstance(api, Deployment)
    cluster.set_propagation(SLOW_PROPAGATION_SECONDS)
    for version in (NEXT_VERSION, VERSION):
        before = list(api.pods)
        fewest = most = 5
        with reading(port) as readers:
            time.sleep(1)
            cluster.apply(of_version(production, version))

            def is_done() -> bool:
                nonlocal fewest, most
                present = [pod for pod in api.pods if not pod.is_deleted]
                fewest = min(fewest, sum(pod.is_ready for pod in present))
                most = max(most, len(present))
                return api.is_up_to_date()

            took = cluster.wait(is_done, ROLLOUT_SECONDS, f"all pods have {version}")
            time.sleep(1)
        show(f"{version} within {took:.0f} s; {readers.summary()}")
        assert_nothing_failed(readers)
        assert (fewest, most) == (5, 6)
        assert {pod.template.main["image"] for pod in cluster.pods("api")} == {f"airq-api:{version}"}
        for pod in before:
            assert pod.ends[-1].status == 0
            assert pod.stop_seconds is not None
            grace = pod.template.spec["terminationGracePeriodSeconds"]
            assert pod.stop_seconds < grace - GRACE_MARGIN_SECONDS
        slowest = max(pod.stop_seconds or 0 for pod in before)
        show(f"each of the {len(before)} pods before ended with 0, the slowest behind {slowest:.1f} s")


def test_an_api_pod_that_is_deleted_costs_no_request(cluster: Cluster, show: Show) -> None:
    with reading(cluster.port("cache", 80)) as readers:
        time.sleep(1)
        pod = cluster.pods("api")[0]
        pod.delete()
        assert pod.gone.wait(60)
        cluster.wait(cluster.is_up, 60, "another pod")
        time.sleep(1)
    show(f"ended behind {pod.stop_seconds:.1f} s with {pod.ends[-1].status}; {readers.summary()}")
    assert_nothing_failed(readers)
    assert pod.ends[-1].status == 0


def test_an_api_container_that_is_killed_costs_no_request(cluster: Cluster, show: Show) -> None:
    pods = cluster.pods("api")
    with reading(cluster.port("cache", 80), uncached=8) as readers:
        for pod in pods[:3]:
            time.sleep(1)
            pod.kill_container()
            cluster.wait(lambda pod=pod: not pod.is_ready, 10, "it is noticed")  # type: ignore[misc]
            cluster.wait(lambda pod=pod: pod.is_ready, 60, "it is back")  # type: ignore[misc]
        time.sleep(1)
    show(f"3 pods one after the other; {readers.summary()}")
    assert readers.cached.failed + readers.uncached.failed == []
    assert [pod.ends[-1].status for pod in pods[:3]] == [137] * 3
    assert [pod.restarts >= 1 for pod in pods[:3]] == [True] * 3


def test_an_api_pod_that_is_gone_without_a_word_costs_no_request(cluster: Cluster, show: Show) -> None:
    """It is killed without grace; a node that is lost also leaves its address behind, for a while."""
    with reading(cluster.port("cache", 80), uncached=8) as readers:
        time.sleep(1)
        pod = cluster.pods("api")[0]
        pod.delete(grace_seconds=0)
        assert pod.gone.wait(60)
        cluster.wait(cluster.is_up, 60, "another pod")
    show(readers.summary())
    assert readers.cached.failed + readers.uncached.failed == []


BROKEN = {
    "the readiness probe asks a wrong path": put(*API, f"{MAIN}/readinessProbe/httpGet/path", "/ready"),
    "a URL without its password": drop(*API, f"{MAIN}/env/0"),
}
"""Updates whose pods start, and never become ready."""


@pytest.mark.parametrize("fault", BROKEN)
def test_an_update_to_a_broken_version_takes_no_pod_away(
    cluster: Cluster, production: Manifests, fault: str, request: pytest.FixtureRequest
) -> None:
    broken, old = deepcopy(production), cluster.pods("api")
    BROKEN[fault](broken)
    cluster.apply(broken)

    def is_up_and_not_ready() -> bool:
        new = [pod for pod in cluster.pods("api") if pod not in old]
        return [pod.is_ready for pod in new] == [False] and any("is up" in line for line in new[0].log)

    cluster.wait(is_up_and_not_ready, 30, "a pod that is not ready")
    time.sleep(READINESS_SECONDS)
    assert is_up_and_not_ready()
    assert [pod.is_ready and not pod.is_deleted for pod in old] == [True] * 5
    [new] = [pod for pod in cluster.pods("api") if pod not in old]
    cluster.apply(production)
    cluster.wait(cluster.is_up, 60, "the old version")
    assert cluster.pods("api") == old
    shown = request.config.stash.setdefault(SHOWN, {}).setdefault(BREAKING, [])
    shown.append(f"api: {fault} -> {new.unready_because[-160:]}")
