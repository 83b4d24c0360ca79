"""A streaming replica copies the primary by itself; the API reads it, and where it is lost the primary."""

import time
from pathlib import Path

from tests.containers import csv_files
from tests.deployment.conftest import Rendered
from tests.deployment.running.cluster import Cluster
from tests.deployment.running.conftest import UP_SECONDS, Show, loading_from_files, serve_file
from tests.deployment.running.pods import Pod
from tests.deployment.running.readers import answers, measurements, never_asked, reading

FALL_BACK_SECONDS = 10.0
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'airq_reader'"


def ask(pod: Pod, statement: str) -> str:
    """Ask a database's pod."""
    return pod.execute("psql", "-U", "postgres", "-d", "airq", "-Atc", statement).strip()


def test_the_api_reads_the_replica_and_where_it_is_lost_the_primary(
    empty_cluster: Cluster, rendered: Rendered, csv: Path, show: Show
) -> None:
    cluster, manifests = empty_cluster, loading_from_files(rendered("combinations/read-replica"))
    manifests.get("Deployment", "api")["spec"]["replicas"] = 2
    files = serve_file(cluster, csv)
    try:
        cluster.apply(manifests)
        took = cluster.wait(cluster.is_up, UP_SECONDS, "everything is up")
        port, replica = cluster.port("cache", 80), cluster.pod("database-replica")
        cluster.wait(lambda: answers(port, never_asked()), 15, "an answer")
        assert ask(replica, "SELECT pg_is_in_recovery()") == "t"
        assert measurements(port) == csv_files.read(csv)
        # What connected while there was no replica stays with the primary until its session ends.
        for pod in cluster.pods("api"):
            pod.kill_container()
        cluster.wait(lambda: not cluster.is_up(), 10, "they are gone")
        cluster.wait(cluster.is_up, 60, "they are back")
        cluster.wait(lambda: int(ask(replica, SESSIONS)) > 0, 15, "the API reads the replica")
        with reading(port) as readers:
            time.sleep(1)
            replica.delete()
            assert replica.gone.wait(150)
            cluster.wait(cluster.is_up, 60, "the replica is back")
            cluster.wait(lambda: answers(port, never_asked()), 15, "an answer")
        outage = readers.uncached.outage_seconds()
        show(f"up within {took:.1f} s; replica lost: no answers for {outage:.1f} s; {readers.summary()}")
        assert readers.cached.failed == []
        assert outage < FALL_BACK_SECONDS
        assert ask(cluster.pod("database-replica"), "SELECT pg_is_in_recovery()") == "t"
        assert measurements(port) == csv_files.read(csv)
        assert cluster.faults == []
    finally:
        cluster.engine.docker("rm", "--force", files)
