"""The relay inside gunicorn's workers: saves arrive, workers come and go, and a relay beside them takes over."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request

import psycopg
import pytest

from auditlog.roles import Role
from devstack import ports
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.services import APPLICATION, Deployment, Service

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

USER = """
from django.contrib.auth.models import User
from auditlog import api_keys
print(api_keys.issue(user=User.objects.create_superuser("root"), name="test"))
"""
SAVE = "from doctors.models import Specialty; Specialty.objects.create(name='Saved beside')"
OWNERS = "SELECT DISTINCT owner FROM publishers_shardlease WHERE until > clock_timestamp()"
NAMED = "SELECT DISTINCT owner FROM publishers_shardlease WHERE owner IS NOT NULL"
STORED = "SELECT changes -> 'name' ->> 1 FROM auditlog_auditlog WHERE model = 'doctors.specialty'"


class Site:
    """A gunicorn with two workers, each with a relay."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment, self._port = deployment, ports.free_port()
        printed = deployment.run("user", "shell", "--no-imports", "-c", USER, roles=APPLICATION)
        self._key = printed.strip().splitlines()[-1]
        self.service: Service = deployment.start_program(
            [sys.executable, "-m", "gunicorn", "-c", "python:settings.server", "settings.wsgi"],
            name="api",
            roles=APPLICATION,
            API_BIND=f"{ports.HOST}:{self._port}",
            API_WORKERS="2",
            RELAY_EMBEDDED="true",
            RELAY_DATABASE_URL=deployment.address(Role.RELAY),
        )
        deployment.wait_until(lambda: len(self.workers()) == 2, what="two workers that hold shards")

    def save(self, name: str) -> None:
        """Save a specialty over HTTP."""
        headers = {"Authorization": f"Api-Key {self._key}", "Content-Type": "application/json"}
        url = f"http://{ports.HOST}:{self._port}/api/specialties/"
        request = urllib.request.Request(url, json.dumps({"name": name}).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 201

    def workers(self) -> set[int]:
        """Return the process ids out of the names of those who hold shards."""
        return {int(owner.split(":")[1]) for owner in self.read(OWNERS)}

    def read(self, query: str) -> set[str]:
        """Return what the owner of the tables reads: one column."""
        with psycopg.connect(self._deployment.address(Role.OWNER)) as connection:
            return {value for (value,) in connection.execute(query.encode())}


def test_i5_saves_arrive_through_reloads_and_after_a_kill_a_relay_beside_takes_over(
    deployment: Deployment, books: Books
) -> None:
    site = Site(deployment)
    site.save("Before the reload")
    deployment.wait_until(lambda: books.counts().pending == 0, what="the topics to have what was saved")

    first = site.workers()
    site.service.send(signal.SIGHUP)
    deployment.wait_until(lambda: not first & (now := site.workers()) and len(now) == 2, what="new workers")
    site.save("After the reload")
    deployment.wait_until(lambda: books.counts().pending == 0, what="the topics to have what was saved")

    workers = site.workers()
    site.service.kill()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    deployment.run("save", "shell", "--no-imports", "-c", SAVE, roles=APPLICATION)
    assert books.counts().pending > 0
    deployment.start_relay()
    deployment.wait_until(lambda: books.counts().pending == 0, what="a relay to take over")

    deployment.start_consumer()
    deployment.wait_until(books.settled, what="everything in the audit log")
    assert_balanced(books)
    assert site.read(STORED) == {"Before the reload", "After the reload", "Saved beside"}


def test_i5_a_web_process_that_is_asked_to_stop_drains_its_relay_and_ends_with_0(
    deployment: Deployment, books: Books
) -> None:
    site = Site(deployment)
    for number in range(20):
        site.save(f"Specialty {number}")
    assert site.service.terminate() == 0
    # Given back, not run out.
    assert site.read(NAMED) == set()
    assert "Traceback" not in site.service.logged()
    published = books.counts().published
    deployment.start_relay()
    deployment.wait_until(lambda: books.counts().pending == 0, what="what was left to be published")
    # Nothing was on its way when the process ended: nothing comes twice.
    assert len(books.published()) == books.counts().published >= published
