#!/usr/bin/python3
"""Services and the schema they were built for (G11): one that finds another schema ends with a line that says what to do."""
import os
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cluster import Cluster  # noqa: E402
from runner import run  # noqa: E402

cluster = None


def start_alone(node):
    """Without anybody who starts it again."""
    node.start()
    node.supervised = False


def end_of(node, seconds=40):
    deadline = time.time() + seconds
    while node.process.poll() is None:
        assert time.time() < deadline, f"{node.name} goes on:\n{node.tail()}"
        time.sleep(0.05)
    return node.process.returncode


def refuses(node, service, change, undo):
    assert node.terminate() == 0
    cluster.postgres.query(change)
    start_alone(node)
    assert end_of(node) == 1, node.tail()
    assert "starlingctl db migrate" in node.tail() and f"schema={service}" in node.tail(), node.tail()
    assert cluster.postgres.query("SELECT count(*) FROM router.router_node WHERE expires > now()") == ("0" if service == "router" else "1")
    cluster.postgres.query(undo)
    node.start()
    node.wait_ready()


def newer(service):
    return (f"INSERT INTO public.starling_migration (service, number, name) VALUES ('{service}', 9999, 'newer')",
            "DELETE FROM public.starling_migration WHERE number = 9999")


def older(service):
    last = f"(SELECT max(number) FROM public.starling_migration WHERE service = '{service}')"
    return (f"UPDATE public.starling_migration SET service = 'hidden' WHERE service = '{service}' AND number = {last}",
            f"UPDATE public.starling_migration SET service = '{service}' WHERE service = 'hidden'")


def test_a_router_refuses_a_newer_and_an_older_schema():
    refuses(cluster.routers[0], "router", *newer("router"))
    refuses(cluster.routers[0], "router", *older("router"))


def test_an_archive_svc_refuses_a_newer_and_an_older_schema():
    refuses(cluster.archives[0], "archive", *newer("archive"))
    refuses(cluster.archives[0], "archive", *older("archive"))


def test_a_router_waits_for_postgres_and_can_be_stopped_meanwhile():
    router = cluster.routers[0]
    assert router.terminate() == 0
    cluster.postgres.stop()
    try:
        start_alone(router)
        deadline = time.time() + 20
        while time.time() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{router.http}/readyz", timeout=2)
                raise AssertionError("ready without PostgreSQL")
            except urllib.error.HTTPError:
                break  # it runs, and says that it is not ready
            except OSError:
                time.sleep(0.1)
        assert router.process.poll() is None, router.tail()
        assert router.terminate() == 0, router.tail()
        start_alone(router)
        time.sleep(1)
    finally:
        cluster.postgres.start()
    router.wait_ready(60)
    router.supervised = True


def test_nothing_was_wrong_underneath():
    codes = cluster.stop_nodes()
    assert all(code == 0 for code in codes.values()), codes
    assert not cluster.problems(), cluster.problems()


if __name__ == "__main__":
    with Cluster(edges=1, routers=1, archives=1) as cluster:
        sys.exit(0 if run(sys.modules[__name__]) else 1)
