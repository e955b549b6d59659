"""
`kill -9` of the relay, the consumer, Kafka and PostgreSQL while a file is imported: nothing is lost, nothing is stored
twice, and the events of each object stay in order.

FAULT_ROUNDS=20 kills each of them in twenty imports.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from doctors.clinicians.generator import write_file
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.services import AUDITOR, Deployment
from tests.faults.servers import Servers

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
# Each wait has its own limit; this is the sum of many.
LIMIT_SECONDS = 900
pytestmark = [pytest.mark.processes, pytest.mark.timeout(LIMIT_SECONDS)]

ROWS = 1_500
# Small transactions: many commits are yet to come when the first events are stored.
BATCH_ROWS = "5"
# So many events are stored before the fault, and wait because of it.
SOME = 200


class Victim(ABC):
    """What is killed and started again, and the others."""

    name: str

    def __init__(self, deployment: Deployment, books: Books, servers: Servers, file: Path) -> None:
        self.deployment, self.books, self.servers = deployment, books, servers
        self.relay, self.consumer = deployment.start_relay(), deployment.start_consumer()
        deployment.wait_until(self.reads, what="a consumer that reads")
        self.importing = deployment.start_import(file, "--batch-rows", BATCH_ROWS)

    def reads(self) -> bool:
        """Tell whether the consumer has begun to read."""
        return any(line["event"] == "consumer.assigned" for line in self.consumer.events())

    @abstractmethod
    def kill(self) -> None:
        """End it without a chance to tidy up."""

    @abstractmethod
    def is_missed(self) -> bool:
        """Tell whether others feel that it is gone."""

    @abstractmethod
    def restart(self) -> None:
        """Start it again as it was."""


class RelayVictim(Victim):
    """It dies with events on their way to a broker that has not answered; events pile up in the outbox."""

    name = "the relay"

    def kill(self) -> None:
        self.servers.freeze_kafka()
        self.deployment.wait_until(lambda: self.books.counts().pending > SOME, what="events on their way")
        self.relay.kill()
        self.servers.thaw_kafka()

    def is_missed(self) -> bool:
        return self.books.counts().pending > 2 * SOME

    def restart(self) -> None:
        self.relay = self.deployment.start_relay()


class ConsumerVictim(Victim):
    """Events pile up on the topics."""

    name = "the consumer"

    def kill(self) -> None:
        self.consumer.kill()

    def is_missed(self) -> bool:
        counts = self.books.counts()
        return counts.published > counts.stored + SOME

    def restart(self) -> None:
        self.consumer = self.deployment.start_consumer()


class KafkaVictim(Victim):
    """Events pile up in the outbox, and the import does not notice."""

    name = "Kafka"

    def kill(self) -> None:
        self.servers.kill_kafka()

    def is_missed(self) -> bool:
        return self.books.counts().pending > SOME

    def restart(self) -> None:
        self.servers.start_kafka()


class PostgresVictim(Victim):
    """The relay and the import wait for it, and say so; the consumer does once it has something to store."""

    name = "PostgreSQL"

    def kill(self) -> None:
        self.books.close()
        self.servers.kill_postgres()

    def is_missed(self) -> bool:
        return bool(self.relay.waits()) and "The database is not available" in self.importing.logged()

    def restart(self) -> None:
        self.servers.start_postgres()


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("kind", [RelayVictim, ConsumerVictim, KafkaVictim, PostgresVictim])
def test_i4_i5_i6_a_kill_in_the_middle_of_an_import_changes_nothing(
    kind: type[Victim], number: int, deployment: Deployment, books: Books, servers: Servers, tmp_path: Path
) -> None:
    file = tmp_path / "clinicians.csv"
    write_file(file, rows=ROWS, seed=number)
    victim = kind(deployment, books, servers, file)
    deployment.wait_until(lambda: books.counts().stored >= SOME, what="events in the audit log")
    victim.kill()
    assert victim.importing.is_running()
    deployment.wait_until(victim.is_missed, what=f"somebody who misses {kind.name}")
    victim.restart()

    report = deployment.finished(victim.importing)
    deployment.wait_until(books.settled, what="the whole import in the audit log")
    rows = assert_balanced(books)
    assert_complete(report, rows, books)
    account = json.loads(
        deployment.run("reconcile", "audit_reconcile", "--topics", "--chains", "--json", roles=AUDITOR)
    )
    assert (account["lost_on_topic"], account["unaccounted"], account["gaps"]) == ([], 0, [])
    assert (account["committed"], account["published"], account["stored"]) == (len(rows), len(rows), len(rows))
    assert account["missing"] == []
    for service in (victim.relay, victim.consumer):
        assert service.terminate() == 0
        assert "Traceback" not in service.logged()


def assert_complete(report: dict[str, Any], rows: list[dict[str, Any]], books: Books) -> None:
    """Check that the file was imported to its end and that the audit log tells of each row of the database once."""
    assert (report["rows"], report["complete"], report["rejected"]) == (ROWS, True, [])
    assert len(books.rows("doctors_practicelocation")) == ROWS
    for table in ("doctors_practicelocation", "doctors_doctor", "doctors_department", "doctors_specialty"):
        model = table.replace("_", ".")
        images = [row["after"] for row in rows if (row["model"], row["action"]) == (model, "create")]
        held = books.rows(table)
        assert sorted(image["id"] for image in images) == sorted(held)
        if table == "doctors_practicelocation":
            assert {image["id"]: image for image in images} == held
    added = sum(len(row["m2m"]["added"]) for row in rows if row["action"] == "m2m.add")
    assert added == len(books.rows("doctors_doctor_specialties")) + len(books.rows("doctors_doctor_departments"))
