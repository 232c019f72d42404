"""What a YARN would take in silence and never do right: cards that it does not know, executors that it cannot grant."""

import pytest
from conftest import start, submit


@pytest.fixture(scope="module")
def plain(tmp_path_factory, s3_server):
    """A node whose largest container has four cores, and of whose cards, if it has any, YARN knows nothing."""
    cluster = start(tmp_path_factory.mktemp("plain"), nodes=1, cards=0, memory_mib=24 * 1024)
    yield cluster
    cluster.__exit__()


def test_executors_larger_than_any_container_are_refused(plain, place):
    """YARN refuses them too, in a page of Java in the log of the application's master."""
    done = submit(plain, place, "r2", cpu="m6i.2xlarge:1", gpu="g6.xlarge:1")
    assert done.code == 2, done.error[-3000:]
    assert done.last == (
        "devise: step catalogue: error: YARN: found 4 cores in its largest container, and executors are asked for with "
        "7: wanted at most that in spark.executor.cores (yarn.scheduler.maximum-allocation-vcores)"
    )


@pytest.mark.slow
def test_executors_with_more_memory_than_any_container_are_refused(plain, place):
    done = submit(plain, place, "r2", cpu="r6i.xlarge:1", gpu="g6.xlarge:1", **{"spark.executor.pyspark.memory": "9g"})
    assert done.code == 2, done.error[-3000:]
    assert done.last.startswith("devise: step catalogue: error: Spark's settings: Required executor memory")


@pytest.mark.slow
def test_a_cluster_without_a_connector_is_told_where_it_belongs(plain, place):
    lost = {"spark.hadoop.fs.s3.impl": "org.example.Lost"}
    done = submit(plain, place, "r2", cpu="m6i.xlarge:1", gpu="g6.xlarge:1", **lost)
    assert done.code == 2, done.error[-3000:]
    assert done.last.startswith("devise: step catalogue: error: Spark 3.5.")
    assert (
        "cannot read s3:// (Class org.example.Lost not found): wanted the cluster's own connector, which its "
        "spark-defaults.conf names and a --properties-file leaves out (use --conf)"
    ) in done.last


@pytest.mark.slow
def test_cards_that_yarn_does_not_know_are_refused(plain, place):
    """It would grant containers without them, on any node, and all executors of a node would share card 0."""
    done = submit(plain, place, "r2", cpu="m6i.xlarge:1", gpu="g6.xlarge:1")
    assert done.code == 2, done.error[-3000:]
    assert "[plan_images] run r2 committed" in done.out
    assert done.last == (
        "devise: step embed: error: YARN: found the resources memory-mb, vcores, and executors are asked for with 1 of "
        "yarn.io/gpu, without which they would share cards: wanted it in yarn.resource-types (deploy/README.md)"
    )
