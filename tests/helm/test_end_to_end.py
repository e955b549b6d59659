"""A release on the test servers: every pod runs as its manifest says, out of the files that the image holds."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from auditlog.roles import Role, create_roles
from devstack import ports
from tests import database
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.conftest import delete_topics
from tests.helm.image import Image
from tests.helm.pods import HOST, Pod
from tests.helm.rendering import Rendered, changed, render

# Some twenty processes, one after the other: a machine that does other work needs its time.
pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

LOOPS = ("relay", "consumer")
CHANGES = 40
MAKE_USER = """
from django.contrib.auth.models import User
User.objects.create_superuser("ada")
"""

Start = Callable[[str, str], Pod]


class Release:
    """What `helm install` would have made. Each pod has a rendering of its own: its ports are those of one machine."""

    def __init__(self, *, values: dict[str, Any], image: Image, folder: Path) -> None:
        self._values, self._image, self._folder = values, image, folder
        self._pods: list[Pod] = []

    def pod(self, kind: str, name: str) -> Pod:
        """Return a pod that does not run yet."""
        release = self._rendered()
        folder = self._folder / f"{len(self._pods)}-{name}"
        self._pods.append(Pod(release.one(kind, name), release=release, image=self._image, folder=folder))
        return self._pods[-1]

    def started(self, kind: str, name: str) -> Pod:
        """Start a pod and wait until its own probes pass."""
        pod = self.pod(kind, name)
        pod.start()
        pod.await_probes()
        return pod

    def close(self) -> None:
        """End what still runs."""
        for pod in self._pods:
            pod.kill()

    def _rendered(self) -> Rendered:
        return render({**self._values, "ports": {"http": ports.free_port(), "metrics": ports.free_port()}})


@pytest.fixture
def owner_url(django_db_setup: None) -> Iterator[str]:
    """The owner's address of an empty database with the service's roles."""
    name = f"test_release_{os.getpid()}"
    with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin, ExitStack() as stack:
        create_roles(admin, database=name, passwords={})
        stack.callback(admin.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        yield database.role_address(Role.OWNER, database=name)


@pytest.fixture
def release(owner_url: str, image: Image, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Iterator[Release]:
    """A release of the smallest shape with a worker; its pods are ended after the test, and its topics removed."""
    urls = {role.removeprefix("auditlog_"): owner_url.replace(Role.OWNER, role) for role in Role}
    values = changed("smallest", {
        "database.urls": urls, "kafka.bootstrapServers": kafka_bootstrap, "kafka.topicPrefix": topic_prefix,
        "kafka.topicPartitions": 3, "kafka.consumerGroup": topic_prefix, "worker.enabled": True,
    })  # fmt: skip
    with closing(Release(values=values, image=image, folder=tmp_path)) as made:
        yield made
    delete_topics(kafka_bootstrap, topic_prefix)


@pytest.fixture
def books(owner_url: str, kafka_bootstrap: str, topic_prefix: str) -> Iterator[Books]:
    """Counts what committed, what was published and what is stored."""
    with closing(Books(url=owner_url, bootstrap=kafka_bootstrap, prefix=topic_prefix)) as opened:
        yield opened


class Caller:
    """A client behind the proxy that ends TLS."""

    def __init__(self, api: Pod, key: str) -> None:
        self._address = f"http://{HOST}:{api.port('http')}"
        self._headers = {
            "Authorization": f"Api-Key {key}",
            "Content-Type": "application/json",
            "Host": "demo-auditlog-api",
            "X-Forwarded-Proto": "https",
        }

    def ask(self, path: str, body: Any = None) -> Any:
        """Get, or post where there is a body, and return the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._address}{path}", data, self._headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


def test_a_release_runs_from_its_manifests_and_loses_nothing_when_its_pods_end(
    release: Release, books: Books, topic_prefix: str
) -> None:
    said = release.pod("Job", "migrations").run()
    assert "Applying auditlog.0001_outbox" in said
    release.pod("Job", "topics").run()
    api = release.started("Deployment", "api")
    relay, consumer = (release.started("Deployment", name) for name in LOOPS)
    worker = release.started("Deployment", "worker")
    worker.wait_until(lambda: "worker.started" in worker.said(), what="a worker that works")
    reconciler = release.started("Deployment", "reconciler")

    # What `helm test` does.
    assert "and the audit log says so" in release.pod("Pod", "test").run()

    api.execute("python", "manage.py", "shell", "--verbosity", "0", "--command", MAKE_USER)
    caller = Caller(api, api.execute("python", "manage.py", "api_key", "create", "ada", "--name", "first").strip())
    made = caller.ask("/api/specialties/", {"name": "Cardiology"})
    found = f"/api/audit/v1/events/?model=doctors.specialty&object_pk={made['id']}"
    api.wait_until(lambda: caller.ask(found)["results"], what="the change in the audit API")
    (event,) = caller.ask(found)["results"]
    assert (event["action"], event["actor"]["repr"]) == ("create", "ada")

    # Pods are replaced while others write.
    for number in range(CHANGES):
        caller.ask("/api/specialties/", {"name": f"Specialty {number}"})
        if number == CHANGES // 2:
            assert [pod.terminate() for pod in (relay, consumer)] == [0, 0], relay.said() + consumer.said()
    relay, consumer = (release.started("Deployment", name) for name in LOOPS)
    relay.wait_until(books.settled, what="every change in the audit log")
    assert caller.ask("/api/audit/v1/events/?model=doctors.specialty&page_size=100&action=create")["results"][CHANGES]

    difference = f'auditlog_reconciliation_difference{{kind="lost",topic="{topic_prefix}.doctors.specialty"}} 0.0'
    for pod, metric in ((api, "auditlog_api_request_seconds_count"), (relay, "auditlog_relay_shards 64.0"),
                        (consumer, "auditlog_consumer_events_stored_total"), (worker, "auditlog_worker_due_tasks"),
                        (reconciler, difference)):  # fmt: skip
        assert metric in pod.metrics()
    for name in ("partitions", "rollups", "reconcile", "bypass"):
        release.pod("CronJob", name).run()

    codes = {pod.name: pod.terminate() for pod in (api, relay, consumer, worker, reconciler)}
    assert codes == dict.fromkeys(codes, 0)
    assert_balanced(books)
    for pod in (api, relay, consumer, worker, reconciler):
        # Every line is one JSON object, the web server's too.
        assert all(json.loads(line)["event"] for line in pod.said().splitlines())
