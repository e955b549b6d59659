"""One scenario under way: its processes, its database and topics, and what it measures."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import psycopg
from confluent_kafka.admin import AdminClient

from auditlog.roles import Role
from tests.acceptance.pipeline.books import Published
from tests.acceptance.pipeline.services import APPLICATION, AUDITOR, CONSUMER, RELAY, Service
from tests.faults.account import Account, account
from tests.faults.books import LastingBooks
from tests.faults.cluster import RELAY_ENVIRONMENT
from tests.faults.disk import SmallDisk
from tests.faults.servers import SHOP_SETTINGS, Server, Servers
from tests.faults.truth import Truth, truth

WRITERS = 3
# So many events are stored before the fault.
SOME = 150
LAUNCHER = "tests.faults.launcher"
WRITER = "tests.faults.writer"
# Two of these are the most that is in flight.
BATCH_ROWS = 200
# So long a PostgreSQL that does not answer is waited for.
ANSWER_SECONDS = 4
ENVIRONMENT = {
    "RELAY_BATCH_ROWS": str(BATCH_ROWS),
    "CONSUMER_BATCH_ROWS": str(BATCH_ROWS),
    "DATABASE_ANSWER_SECONDS": str(ANSWER_SECONDS),
}
PENDING = "SELECT min(id) AS lowest, count(*) AS rows FROM auditlog_outboxevent WHERE parked_at IS NULL"
LAST_ID = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('auditlog_outboxevent', 'id')), 0) AS id"
MARKS = "SELECT writer, number FROM shop_mark"
CHUNKS = "SELECT event_id::text AS id FROM auditlog_contentchunk"
IDS = f"SELECT event_id::text AS id FROM auditlog_auditlog UNION ALL {CHUNKS}"
WRONG_DIGESTS = """
SELECT count(*) AS n FROM auditlog_outboxledger l WHERE digest <> (
    SELECT bit_xor(('x' || left(md5(id::text), 16))::bit(64)::bigint) FROM unnest(l.event_ids) AS acknowledged (id)
)
"""
ADMIN_SECONDS = 30
WAIT_SECONDS = 90
READS, READ_AGAIN_SECONDS = 5, 2.0
CHANGES = "SELECT event_id::text AS id, model, object_pk, action, m2m, before, after FROM auditlog_auditlog"


class Violation(AssertionError):
    """The service did not do what the scenario expects."""


class Run:
    """
    Starts and ends what a scenario needs; `apart` gives the read model a server of its own.

    `scale` is how much of a scenario's load there is, where that is more than some hundred events.
    """

    def __init__(self, servers: Servers, *, folder: Path, apart: Server | None = None, scale: float = 1.0) -> None:
        self.servers, self.folder, self.scale = servers, folder, scale
        self.prefix = f"faults-{uuid.uuid4().hex[:8]}"
        self.database = self.prefix.replace("-", "_")
        self.domain, self.read_model = servers.domain, apart or servers.domain
        self.relays: list[Service] = []
        self.consumers: list[Service] = []
        self.writers: list[Service] = []
        # What every process gets beside what the deployment says.
        self.environment = dict(ENVIRONMENT)
        # Where the writers keep their accounts.
        self.files: list[Path] = []
        # Events of commits that a failover undid: they are on the topics and in the log, and nowhere else.
        self.disowned: set[str] = set()
        # What is looked at when everything is settled.
        self.checks: list[Callable[[], None]] = []
        self.cleanup = ExitStack()
        self.recovery_seconds: float | None = None
        self._recovering_since = 0.0
        servers.make_database(self.database)
        if apart is not None:
            servers.make_database(self.database, server=apart)
            servers.proxies[Role.CONSUMER].redirect(apart.port)
        self.deployment = servers.deployment(address=self._address, prefix=self.prefix, folder=folder)
        self.deployment.settings = SHOP_SETTINGS
        self.replication = {"KAFKA_TOPIC_REPLICATION_FACTOR": str(len(servers.cluster.brokers))}
        self.books = self._books(self.domain)
        self.log = self.books if apart is None else self._books(apart)

    def make_topics(self) -> None:
        """Make the topics of the shop."""
        self.deployment.run("topics", "kafka_topics", roles=RELAY, **self.replication)

    # What runs

    def start_relay(self, *arguments: str, point: str = "", action: str = "kill", **more: str) -> Service:
        """Start a relay, through the launcher where it is to fail at a point."""
        service = self._start("relay", "run_relay", *arguments, roles=RELAY, point=point, action=action, **more)
        self.relays.append(service)
        return service

    def start_consumer(self, *, point: str = "", action: str = "kill", **more: str) -> Service:
        """Start a consumer, through the launcher where it is to fail at a point."""
        service = self._start("consumer", "run_consumer", roles=CONSUMER, point=point, action=action, **more)
        self.consumers.append(service)
        return service

    def start_writer(
        self, *options: str, count: int = 1, variables: Mapping[str, str] = MappingProxyType({})
    ) -> Service:
        """Start a writer, or several as one program, which makes one transaction or writes until it is told to stop."""
        first = len(self.files)
        self.files += [self.folder / f"written-{number}" for number in range(first, first + count)]
        command = ["-m", WRITER, "--first", str(first), "--count", str(count), "--folder", str(self.folder), *options]
        service = self.deployment.start_program(
            [sys.executable, *command], name=f"writer-{first}", roles=APPLICATION, **{**self.environment, **variables}
        )
        if "--once" not in options:
            self.writers.append(service)
        return service

    def start_writers(self, *options: str, count: int = WRITERS) -> None:
        """Start writers."""
        self.start_writer(*options, count=count)

    def load(self, *options: str) -> None:
        """Start a relay and a consumer unless there are some, and writers, and wait until events are stored."""
        if not self.relays:
            self.start_relay()
        if not self.consumers:
            self.start_consumer()
        self.start_writers(*options)
        self.wait(lambda: self.stored() >= SOME, what="events in the log")

    def arm(self, service: Service) -> None:
        """Let the point of a process be reached, and wait until it has been."""
        self.armed(service).touch()
        self.wait(lambda: not self.armed(service).exists(), what=f"the point of {service.name}")

    def kill_at_point(self, service: Service) -> None:
        """Let a process end at its point."""
        service.may_end()
        self.arm(service)
        self.wait(lambda: not service.is_running(), what=f"the end of {service.name}")

    def armed(self, service: Service) -> Path:
        """Return the file that arms the point of a process."""
        return self.folder / f"{service.name}.armed"

    def command(self, name: str, *arguments: str, roles: tuple[Role, Role] = AUDITOR) -> str:
        """Run a management command to its end and return what it printed."""
        return self.deployment.run(name, name, *arguments, roles=roles, **self._read_model_of(roles))

    def move_to(self, server: Server) -> None:
        """Let the database be on another server from now on; the service's connections are led there."""
        self.books.close()
        if self.read_model is self.domain:
            self.read_model = server
        self.domain = server
        self.books = self._books(server)
        for role, proxy in self.servers.proxies.items():
            if role != Role.CONSUMER or self.read_model is server:
                proxy.redirect(server.port)
        if self.read_model is server:
            self.log = self.books

    def small_disk(self, server: Server) -> SmallDisk:
        """Put this run's database on a server onto a small disk."""
        disk = SmallDisk(self.servers.folder / f"{self.database}-disk")
        self.cleanup.callback(disk.close)
        self.cleanup.callback(self._drop_tablespace, server)
        self.books.close()
        self.log.close()
        server.execute(
            f"CREATE TABLESPACE {self.database} LOCATION '{disk.folder}'",
            f"ALTER DATABASE {self.database} SET TABLESPACE {self.database}",
        )
        return disk

    def _drop_tablespace(self, server: Server) -> None:
        if server is self.servers.domain:
            server.execute(f"DROP TABLESPACE {self.database}")

    # What is seen

    def wait(self, condition: Callable[[], Any], *, what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait for a condition; a database that does not answer does not fulfil it."""

        def tolerant() -> Any:
            try:
                return condition()
            except psycopg.OperationalError:
                self.books.close()
                self.log.close()
                return False

        self.deployment.wait_until(tolerant, what=what, seconds=seconds)

    def let_pass(self, seconds: float) -> None:
        """Let a fault last."""
        until = time.monotonic() + seconds
        self.deployment.wait_until(lambda: time.monotonic() >= until, what="the end of the fault")

    def stored(self) -> int:
        """Return how many events are in the log."""
        return int(self.log.query("SELECT count(*) AS n FROM auditlog_auditlog")[0]["n"])

    def pending(self) -> int:
        """Return how many events wait in the outbox."""
        return int(self.books.query(PENDING)[0]["rows"])

    def last_id(self) -> int:
        """Return the last id that the outbox gave."""
        return int(self.books.query(LAST_ID)[0]["id"])

    def grows(self, rows: int) -> None:
        """Wait until writers have committed so many events more."""
        wanted = self.last_id() + rows
        self.wait(lambda: self.last_id() >= wanted, what=f"{rows} more events")

    def expect(self, condition: object, text: str) -> None:
        """
        Check what the scenario expects.

        :raises Violation: with the text.
        """
        if not condition:
            raise Violation(text)

    def truth(self) -> Truth:
        """Return what the writers committed."""
        marks = {(row["writer"], row["number"]) for row in self.books.query(MARKS)}
        return truth(self.files, marks=marks)

    def resident_bytes(self, service: Service) -> int:
        """Return how much memory a process holds."""
        return int(psutil.Process(service.pid).memory_info().rss)

    def metric(self, port: int, name: str) -> float:
        """Return a metric of a process that serves them on a port; the sum where it has labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(map(float, found))

    # What is measured

    def healed(self) -> None:
        """Note that the fault is over: from here, recovery counts."""
        self._recovering_since = time.monotonic()

    def recovered(self) -> None:
        """Wait until everything that had committed by now is stored, and note how long after the fault that was."""
        last = None

        def ask() -> bool:
            nonlocal last
            last = self.last_id()
            return True

        self.wait(ask, what="the outbox")
        assert last is not None
        self.wait(lambda: (self.books.query(PENDING)[0]["lowest"] or last + 1) > last, what="an outbox that drains")
        wanted = set(self._committed())
        self.wait(lambda: wanted <= self.stored_ids(), what="what had committed in the log")
        self.recovery_seconds = time.monotonic() - self._recovering_since

    def stored_ids(self) -> set[str]:
        """Return the ids of everything that is stored."""
        return {row["id"] for row in self.log.query(IDS)}

    def stop_writers(self) -> None:
        """Let the writers finish what they do, and end."""
        for writer in self.writers:
            if writer.is_running():
                self.expect(writer.terminate() == 0, f"{writer.name} failed: {writer.logged()[-1000:]}")
        self.writers.clear()

    def settle(self) -> None:
        """Wait until everything that committed is stored, and end relays and consumers as an orchestrator does."""
        self.stop_writers()
        self.wait(lambda: self.pending() == 0, what="an empty outbox")
        self.wait(lambda: set(self.books.committed()) <= self.stored_ids(), what="all events in the log")
        for check in self.checks:
            check()
        for service in (*self.relays, *self.consumers):
            if service.is_running():
                code = service.terminate()
                self.expect(code == 0, f"{service.name} ended with {code}: {service.logged()[-1000:]}")
            self.expect("Traceback" not in service.logged(), f"{service.name} raised: {service.logged()[-3000:]}")

    def published(self) -> list[Published]:
        """Return every event on the topics; what a test put there beside them is left out."""
        committed = set(self.books.committed())
        for _ in range(READS):
            records = [record for record in self.books.published() if "ce_id" in record.headers]
            if committed <= {record.event_id for record in records}:
                break
            # A broker that has just become leader may not know yet how far the others are, and name too low an end.
            self.let_pass(READ_AGAIN_SECONDS)
        return records

    def prove(self) -> None:
        """Let the service's own loss proof compare: it must come to the same, by the ledger and by its digests."""
        report = json.loads(self.command("audit_reconcile", "--json"))
        found = {name: report[name] for name in ("missing_count", "lost_on_topic_count", "unrecoverable")}
        self.expect(found == {"missing_count": 0, "lost_on_topic_count": 0, "unrecoverable": []}, f"{found}")
        named = set(report["unaccounted_ids"])
        self.expect(named == self.disowned, f"unaccounted for: {sorted(named ^ self.disowned)}")
        wrong = self.books.query(WRONG_DIGESTS)[0]["n"]
        self.expect(wrong == 0, f"{wrong} entries of the ledger have another digest than their ids")
        committed = self.books.committed()
        self.expect(len(committed) == len(set(committed)), "an event was acknowledged twice")

    def account(self) -> Account:
        """Return the account of this run."""
        chunks = [row["id"] for row in self.log.query(CHUNKS)]
        return account(
            truth=self.truth(),
            committed=self.books.committed(),
            published=self.published(),
            stored=self.log.query(CHANGES),
            chunks=chunks,
            disowned=self.disowned,
        )

    def delete_topics(self, *names: str) -> None:
        """Remove topics of this run; all of them by default."""
        admin = AdminClient({"bootstrap.servers": self.servers.bootstrap, "log_level": 0})
        there = admin.list_topics(timeout=ADMIN_SECONDS).topics
        wanted = list(names) or [name for name in there if name.startswith(f"{self.prefix}.")]
        for deleted in (admin.delete_topics(wanted) if wanted else {}).values():
            deleted.result(ADMIN_SECONDS)

    def topic(self, model: str) -> str:
        """Return the topic of a model of the shop."""
        return f"{self.prefix}.shop.{model}"

    def close(self) -> None:
        """End every process of this run."""
        self.deployment.close()
        self.books.close()
        self.log.close()

    def _start(
        self, name: str, *arguments: str, roles: tuple[Role, Role], point: str, action: str, **more: str
    ) -> Service:
        kafka = self.servers.cluster
        if roles is RELAY:
            brokers = {"KAFKA_BOOTSTRAP_SERVERS": kafka.for_relays, **RELAY_ENVIRONMENT}
        else:
            brokers = {"KAFKA_BOOTSTRAP_SERVERS": kafka.for_consumers}
        variables = {**brokers, **self.environment, **self._read_model_of(roles), **more}
        if not point and not any(key.startswith("FAULT_") for key in more):
            return self.deployment.start(name, *arguments, roles=roles, **variables)
        # Its log has the name of the file that arms it.
        number = len(self.relays) + len(self.consumers)
        name = f"{name}-{number}"
        variables |= {"FAULT_ACTION": action, "FAULT_ARMED": str(self.folder / f"{self.deployment.count}-{name}.armed")}
        if point:
            variables["FAULT_POINT"] = point
        command = [sys.executable, "-m", LAUNCHER, *arguments]
        return self.deployment.start_program(command, name=name, roles=roles, **variables)

    def _read_model_of(self, roles: tuple[Role, Role]) -> dict[str, str]:
        if self.read_model is self.domain or roles is RELAY:
            return {}
        port = self.servers.proxies[Role.CONSUMER].port if roles is CONSUMER else None
        url = self.read_model.url(role=roles[1], database=self.database, port=port)
        return {"AUDIT_DATABASE_URL": url}

    def _address(self, role: str) -> str:
        proxy = self.servers.proxies.get(Role(role))
        if proxy is not None and role == Role.CONSUMER and self.read_model is not self.domain:
            proxy = None
        return self.domain.url(role=role, database=self.database, port=None if proxy is None else proxy.port)

    def _books(self, server: Server) -> LastingBooks:
        url = server.url(role=Role.OWNER, database=self.database)
        return LastingBooks(url=url, bootstrap=self.servers.bootstrap, prefix=self.prefix)

    def _committed(self) -> list[str]:
        return [
            row["id"] for row in self.books.query("SELECT unnest(event_ids)::text AS id FROM auditlog_outboxledger")
        ]
