"""From an empty folder, or from whatever an earlier stack left there, to a stack that answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import psutil
import psycopg

from auditlog.roles import Role, create_roles
from devstack import kafka as brokers
from devstack import probes, processes
from devstack import state as states
from devstack.addresses import DATABASE, Databases, given_databases, local_databases
from devstack.errors import DevstackError
from devstack.folder import Folder
from devstack.kafka import Kafka
from devstack.ports import HOST, Reservations
from devstack.postgres import Postgres, system_user
from devstack.programs import Programs
from devstack.state import Demo, Identity, Running, State
from devstack.supervisor import Background, Supervisor

PREFERRED_PORTS = {"postgres": 5433, "kafka": 9092, "kafka_controller": 9093, "api": 8000, "consumer_metrics": 9464}
SHOWN_PORTS = ("postgres", "kafka", "api")
OLDEST_POSTGRES = 15
START_SECONDS = 90.0
# Leases of a relay that was killed run out, a consumer that was killed is given up by the broker.
READY_SECONDS = 120.0
# For the audit log to hold all of the demo.
STORED_SECONDS = "120"


@dataclass(slots=True)
class Startup:
    """The steps of one start; `kafka_connection` are the client's properties where the environment names brokers."""

    folder: Folder
    given: Mapping[str, str]
    kafka_connection: Mapping[str, str]
    topic_prefix: str
    state: State
    supervisor: Supervisor
    ports: Reservations = field(default_factory=lambda: Reservations({}))

    def run(self) -> Running:
        """
        Start everything, load the demo once, and return what runs when all of it answers.

        :raises DevstackError: if something cannot be started.
        :raises Stopped: at a signal.
        """
        given = given_databases(self.given)
        if given:
            given = self._identified(given)
        if "KAFKA_BOOTSTRAP_SERVERS" in self.given:
            self._check_brokers()
        end_orphans(self.state, self.folder, say=self.supervisor.stream.say)
        self._choose_ports(given)
        programs = self._programs(given)
        self._announce(programs)
        self._start_servers(programs, local_database=given is None)
        self._start_service(programs)
        self._load_demo(programs)
        return self._running

    @property
    def _running(self) -> Running:
        if self.state.running is None:
            raise DevstackError("The state file was changed by another process: start again.")
        return self.state.running

    def _save(self) -> None:
        states.save(self.folder.state, self.state)

    def _choose_ports(self, given: Databases | None) -> None:
        unused = {"postgres"} if given else set()
        unused |= {"kafka", "kafka_controller"} if "KAFKA_BOOTSTRAP_SERVERS" in self.given else set()
        self.ports = Reservations({name: port for name, port in PREFERRED_PORTS.items() if name not in unused})
        for name in SHOWN_PORTS:
            if (port := self.ports.chosen.get(name)) not in {None, PREFERRED_PORTS[name]}:
                self.supervisor.stream.say(f"port {PREFERRED_PORTS[name]} is in use: {name} gets {port}")

    def _programs(self, given: Databases | None) -> Programs:
        if given is None:
            self._check_secrets()
        bootstrap = self.given.get("KAFKA_BOOTSTRAP_SERVERS")
        kafka = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap or f"{HOST}:{self.ports.chosen['kafka']}"}
        if not bootstrap:
            kafka["KAFKA_SECURITY_PROTOCOL"] = "PLAINTEXT"
        databases = given or local_databases(self.ports.chosen["postgres"], self.state.secrets)
        return Programs(self.folder, databases, kafka, self.topic_prefix, self.ports.chosen)

    def _check_secrets(self) -> None:
        """Have passwords before there is a server that knows them."""
        if self.state.secrets:
            return
        if self.folder.postgres.exists():
            raise DevstackError(
                f"{self.folder.postgres} holds data of an earlier stack, whose passwords are lost with "
                f"{self.folder.state}: remove {self.folder.path} to begin anew."
            )
        self.state.secrets = states.new_secrets()
        self._save()

    def _announce(self, programs: Programs) -> None:
        """Say in the state file where everything will be."""
        running = self._running
        running.api = f"http://{HOST}:{self.ports.chosen['api']}"
        running.consumer_metrics = f"http://{HOST}:{self.ports.chosen['consumer_metrics']}/metrics"
        running.database = programs.databases.key
        running.database_urls = dict(programs.databases.domain)
        running.audit_database_urls = dict(programs.databases.audit)
        running.kafka_bootstrap_servers = programs.kafka["KAFKA_BOOTSTRAP_SERVERS"]
        running.topic_prefix = self.topic_prefix
        self._save()

    def _start_servers(self, programs: Programs, *, local_database: bool) -> None:
        server = self._postgres() if local_database else None
        broker = self._kafka(programs.databases.key) if "kafka" in self.ports.chosen else None
        # Both take a while for the first time: at once.
        preparing = self.supervisor.in_background(lambda say: server.prepare(progress=say)) if server else None
        preparing_broker = self.supervisor.in_background(lambda say: broker.prepare(progress=say)) if broker else None
        if server and preparing:
            command = self._finished(preparing, "PostgreSQL to be prepared")
            self._say("starting PostgreSQL")
            self.ports.release("postgres")
            self.supervisor.start(programs.postgres(command, system_user()))
        if broker and preparing_broker:
            command = self._finished(preparing_broker, "Kafka to be prepared")
            self._say("starting Kafka")
            self.ports.release("kafka", "kafka_controller")
            self.supervisor.start(programs.broker(command))
        if server:
            self.supervisor.wait_for(server.answers, what="PostgreSQL", seconds=START_SECONDS, of="postgres")
            self._create_roles(server)
        self._say("migrating the database")
        self.supervisor.step(programs.manage("migrate", Role.OWNER, "migrate", "--no-input", "--verbosity", "1"))
        if broker:
            self.supervisor.wait_for(broker.answers, what="Kafka", seconds=START_SECONDS, of="kafka")
        self._say("creating the topics")
        self.supervisor.step(programs.manage("topics", Role.RELAY, "kafka_topics"))

    def _start_service(self, programs: Programs) -> None:
        self._say("starting API, worker, relay and consumer")
        self.ports.release("api", "consumer_metrics")
        for program in (programs.api(), programs.worker(), programs.relay(), programs.consumer()):
            self.supervisor.start(program)
        running, wait_for = self._running, self.supervisor.wait_for
        app_url, relay_url = (programs.databases.domain[role] for role in (Role.APP, Role.RELAY))
        wait_for(lambda: probes.api_ready(running.api), what="the API", seconds=READY_SECONDS, of="api")
        wait_for(lambda: probes.worker_ready(app_url), what="the worker", seconds=READY_SECONDS, of="worker")
        wait_for(
            lambda: probes.relay_ready(relay_url, running.processes["relay"].pid),
            what="the relay to hold shards (those of one that was killed come free soon)",
            seconds=READY_SECONDS,
            of="relay",
        )
        wait_for(
            lambda: probes.consumer_ready(running.consumer_metrics),
            what="the consumer to be given partitions (those of one that was killed come free soon)",
            seconds=READY_SECONDS,
            of="consumer",
        )

    def _load_demo(self, programs: Programs) -> None:
        key = programs.databases.key
        if key not in self.state.demos:
            self._say("loading the demo")
            since = datetime.now(UTC).isoformat()
            said = self.supervisor.step_with_result(programs.manage("demo", Role.APP, "demo", "--json"))
            self.state.demos[key] = Demo(users=json.loads(said)["users"], since=since)
            self._save()
        demo = self.state.demos[key]
        if not demo.stored:
            self._say("waiting until the audit log holds all of the demo")
            arguments = ("audit_reconcile", "--from", demo.since, "--wait", STORED_SECONDS)
            self.supervisor.step(programs.manage("reconcile", Role.READER, *arguments))
            demo.stored = True
            self._save()

    def _postgres(self) -> Postgres:
        password = self.state.secrets[states.SUPERUSER]
        return Postgres(self.folder.postgres, self.ports.chosen["postgres"], password=password)

    def _kafka(self, database: str) -> Kafka:
        return Kafka(self.folder.kafka(database), self.ports.chosen["kafka"], self.ports.chosen["kafka_controller"])

    def _finished(self, background: Background[list[str]], what: str) -> list[str]:
        self.supervisor.wait_for(background.done, what=what, seconds=float("inf"))
        return background.result

    def _create_roles(self, server: Postgres) -> None:
        try:
            with psycopg.connect(server.admin_url, autocommit=True) as connection:
                create_roles(connection, database=DATABASE, passwords=self.state.secrets)
        except psycopg.Error as exc:
            raise DevstackError(f"The database roles could not be created: {exc}") from exc

    def _identified(self, databases: Databases) -> Databases:
        """Check that all given addresses let us in, and tell which database it is."""
        keys = {}
        for url in {*databases.domain.values(), *databases.audit.values()}:
            try:
                version, keys[url] = probes.database_identity(url)
            except psycopg.Error as exc:
                raise DevstackError(
                    f"The PostgreSQL that DATABASE_URL and its like name does not let us in: {exc}\n"
                    "Start it or correct the address; unset DATABASE_URL to have a local one."
                ) from exc
            if version < OLDEST_POSTGRES * 10_000:
                raise DevstackError(
                    f"DATABASE_URL names a PostgreSQL {version // 10_000}: {OLDEST_POSTGRES} or newer is needed."
                )
        return replace(databases, key=keys[databases.domain[Role.APP]])

    def _check_brokers(self) -> None:
        if not brokers.answers(self.kafka_connection):
            raise DevstackError(
                f"No Kafka answers at KAFKA_BOOTSTRAP_SERVERS={self.given['KAFKA_BOOTSTRAP_SERVERS']}: start it or "
                "correct the address; unset KAFKA_BOOTSTRAP_SERVERS to have a local one."
            )

    def _say(self, text: str) -> None:
        self.supervisor.stream.say(text)


def begin(folder: Folder) -> State:
    """Return the state with this process as the supervisor, saved."""
    state = states.load(folder.state)
    own = psutil.Process(os.getpid())
    before = state.running.processes if state.running else {}
    state.running = Running(supervisor=Identity(own.pid, own.create_time()), processes=before)
    states.save(folder.state, state)
    return state


def end_orphans(state: State, folder: Folder, *, say: Callable[[str], None]) -> int:
    """
    End what a supervisor that was killed left behind, and return how many processes that were.

    :raises DevstackError: if one of them cannot be ended.
    """
    known = state.running.processes if state.running else {}
    found = processes.orphans(known, folder.path)
    for orphan in found:
        say(f"stopping {orphan.name} (process {orphan.pid}), left behind by an earlier stack")
        if not processes.end(orphan, processes.ending_of(orphan.name)):
            raise DevstackError(f"Process {orphan.pid} ({orphan.name}) cannot be ended: end it, then try again.")
    return len(found)
