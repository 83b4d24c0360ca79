"""The one cache and the one database: what it costs to lose them."""

import time
from collections.abc import Callable

import pytest

from tests.containers.service import Answer
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.conftest import Show
from tests.deployment.running.pods import Pod
from tests.deployment.running.readers import CACHED, answers, never_asked, reading

SHORT_OUTAGE_SECONDS = 5.0
"""From SIGKILL to the next good answer: a second or two for a new start, as much until nodes know of it."""


def test_a_cache_that_is_deleted_is_replaced_without_a_lost_request(cluster: Cluster, show: Show) -> None:
    port = cluster.port("cache", 80)
    with reading(port) as readers:
        time.sleep(1)
        pod = cluster.pod("cache")
        pod.delete()
        assert pod.gone.wait(90)
        cluster.wait(cluster.is_up, 60, "another pod")
        time.sleep(1)
    show(f"ended behind {pod.stop_seconds:.1f} s with {pod.ends[-1].status}; {readers.summary()}")
    assert readers.failed() == []
    assert pod.ends[-1].status == 0


def test_a_cache_that_is_killed_is_back_within_seconds(cluster: Cluster, show: Show) -> None:
    port, pod = cluster.port("cache", 80), cluster.pod("cache")
    with reading(port) as readers:
        time.sleep(1)
        before = pod.started_at
        pod.kill_container()
        cluster.wait(lambda: pod.started_at != before, 10, "it is started again")
        restarted = pod.started_at or 0
        cluster.wait(lambda: pod.is_ready, 30, "it is ready again")
        cluster.wait(lambda: answers(port, CACHED), 30, "an answer")
        time.sleep(1)
    outage = max(readers.cached.outage_seconds(), readers.uncached.outage_seconds())
    ready = (pod.ready_at or 0) - restarted
    show(f"no answers for {outage:.1f} s, of which {ready:.1f} s from start to ready; {readers.summary()}")
    assert outage < SHORT_OUTAGE_SECONDS


def is_told_to_come_back(answer: Answer) -> bool:
    """Tell whether an answer is the problem that says so."""
    return (
        answer.status == 503
        and answer.headers["content-type"].startswith("application/problem+json")
        and int(answer.headers["retry-after"]) > 0
    )


def delete(pod: Pod) -> None:
    """Ask for a pod's end and wait for it."""
    pod.delete()
    assert pod.gone.wait(150)
    assert pod.ends[-1].status == 0


@pytest.mark.parametrize("lose", [delete, Pod.kill_container], ids=["deleted", "killed"])
def test_without_the_database_stored_answers_go_on_and_no_data_is_lost(
    cluster: Cluster, show: Show, lose: Callable[[Pod], None]
) -> None:
    port, apis, refused = cluster.port("cache", 80), cluster.pods("api"), []

    def is_good_or_refused(answer: Answer) -> bool:
        if answer.status != 200:
            refused.append(answer)
        return answer.status == 200 or is_told_to_come_back(answer)

    before, restarts = apis[0].execute("airq", "verify"), [pod.restarts for pod in apis]
    with reading(port) as readers:
        readers.uncached.is_good = is_good_or_refused
        time.sleep(1)
        lost_at = time.monotonic()
        lose(cluster.pod("database"))
        cluster.wait(lambda: not cluster.is_up(), 10, "it is noticed")
        cluster.wait(cluster.is_up, 120, "all pods are ready again")
        took = time.monotonic() - lost_at
        cluster.wait(lambda: answers(port, never_asked()), 15, "an answer from the database")
    show(f"all ready again behind {took:.1f} s; {readers.summary()}; {len(refused)} told to come back")
    assert readers.cached.failed + readers.uncached.failed == []
    assert refused != []
    assert [pod.restarts for pod in apis] == restarts
    assert apis[0].execute("airq", "verify") == before
