"""I5: after a dump and a restore on a new server, whose transaction ids begin anew, publishing goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from auditlog.roles import Role, create_roles
from devstack import ports, postgres
from devstack.postgres import Postgres, running_as, system_user, wheel_binaries
from tests.conftest import RoleUrl, WaitUntil
from tests.integration.publishers.conftest import StartProcess
from tests.integration.publishers.processes import ROOT
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker
from tests.stack import UNSAFE, address, debian_binaries, say

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "audit"]), pytest.mark.processes]

# In the new server's first WAL file: its timeline is higher than that of the old one.
FIRST_WAL_FILE = "000000020000000000000010"
SAVE = "from doctors.models import Specialty; Specialty.objects.create(name='{name}')"


@pytest.fixture
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """An empty server that was made for the restore as the how-to says."""
    folder = tmp_path_factory.mktemp("restored")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    server = Postgres(folder / "postgres", ports.free_port(), binaries=binaries(), options=UNSAFE)
    server.prepare(progress=say)
    reset = [str(server.binaries / "pg_resetwal"), "-l", FIRST_WAL_FILE, str(server.directory.resolve())]
    subprocess.run(reset, check=True, capture_output=True, **running_as(system_user()))
    process = server.start(progress=say)
    yield server
    postgres.stop(process)


def binaries() -> Path:
    """Return where the programs of the tested version are."""
    version = os.environ.get("TEST_POSTGRES")
    return debian_binaries(version) if version else wheel_binaries()


def moved(url: str, server: Postgres) -> str:
    """Dump the database of this address, restore it on another server, and return its address there."""
    name = url.rsplit("/", 1)[1]
    old = address(os.environ["TEST_POSTGRES_ADMIN_URL"], user="postgres", database=name)
    dump = subprocess.run(
        [str(binaries() / "pg_dump"), "--inserts", old], check=True, capture_output=True, text=True
    ).stdout
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        create_roles(admin, database=name, passwords={})
    # What begins with a backslash is for psql alone.
    script = "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))
    with psycopg.connect(server.admin_url, dbname=name, autocommit=True) as restoring:
        restoring.execute(script.encode())
    return address(server.admin_url, user="postgres", database=name)


def save(name: str, url: str, prefix: str) -> None:
    """Save a specialty as the application on the server of this address."""
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", SAVE.format(name=name)],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings.local",
            "DATABASE_URL": url,
            "AUDIT_DATABASE_URL": url,
            "KAFKA_TOPIC_PREFIX": prefix,
        },
        check=True,
        capture_output=True,
    )


@pytest.mark.postgres_versions
def test_i5_publishing_goes_on_after_a_dump_and_a_restore_and_no_sequence_goes_back(
    new_server: Postgres,
    outbox: Outbox,
    broker: Broker,
    topic_prefix: str,
    role_url: RoleUrl,
    start_process: StartProcess,
    wait_until: WaitUntil,
) -> None:
    topic = f"{topic_prefix}.doctors.specialty"
    broker.create(topic)
    save("published before", role_url(Role.APP), topic_prefix)
    relay = start_process()
    wait_until(lambda: not outbox.ids())
    assert relay.terminate() == 0
    save("waiting at the dump", role_url(Role.APP), topic_prefix)
    (waiting,) = outbox.ids()

    there = moved(role_url(Role.APP), new_server)
    name = there.rsplit("/", 1)[1]
    with psycopg.connect(there, autocommit=True) as connection:
        restored = Outbox(connection)
        assert restored.ids() == {waiting}
        start_process(DATABASE_URL=address(there, user=Role.RELAY, database=name))
        # Events of different objects have an order of their own only where one is published before the other commits.
        wait_until(lambda: waiting not in restored.ids())
        save("saved after", address(there, user=Role.APP, database=name), topic_prefix)
        wait_until(lambda: not restored.ids())
        assert len(restored.ledger()) == 3
    records = broker.read(topic)
    values = [json.loads(record.value) for record in records]
    assert [value["after"]["name"] for value in values] == ["published before", "waiting at the dump", "saved after"]
    assert records[1].outbox_id == waiting
    sequences = [value["source"]["sequence"] for value in values]
    assert sequences == sorted(sequences)
    assert [sequence.partition(":")[0] for sequence in sequences] == ["00000001", "00000001", "00000002"]
    ids = [record.outbox_id for record in records]
    assert ids == sorted(set(ids))
