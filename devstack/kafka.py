"""A real Apache Kafka on the loopback interface: one KRaft node, alone unless its properties say otherwise."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from devstack import jars
from devstack.errors import DevstackError
from devstack.java import find_java
from devstack.partial import fresh_beside
from devstack.ports import HOST

HEAP = "512m"
STOP_SECONDS = 30
ANSWER_SECONDS = 3
# Notice a broker as soon as it is there.
QUICK: dict[str, str | int] = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 250, "log_level": 0}
# Java takes the encoding of file names from the locale.
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
num.partitions=6
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=10000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.heartbeat.interval.ms=2000
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
"""


def new_cluster_id() -> str:
    """Return an id for a new cluster."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker with its data in `directory`; ports are chosen by the caller."""

    directory: Path
    port: int
    controller_port: int
    # Java's notation, such as 512m.
    heap: str = HEAP
    # Nodes of one cluster are formatted with one id.
    cluster_id: str = field(default_factory=new_cluster_id)
    # Added to the file's, and in their place where they have the same name.
    properties: Mapping[str, str] = field(default_factory=dict)
    # For the program that formats the storage.
    format_arguments: tuple[str, ...] = ()

    @property
    def bootstrap_servers(self) -> str:
        """Return the address for clients."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """Return the file that holds what a broker started by `start` says."""
        return self.directory / "kafka.log"

    def prepare(self, *, progress: Callable[[str], None]) -> list[str]:
        """
        Fetch the jars, write the configuration, format the storage once; return the command that runs the broker.

        :raises DevstackError: if the jars cannot be had or the storage cannot be formatted.
        """
        java = [str(find_java()), "-cp", os.pathsep.join(str(path) for path in jars.fetch(progress=progress))]
        logs = self.directory.resolve() / "logs"
        if not (logs / "meta.properties").exists():
            progress("formatting Kafka's storage")
            self._format(java, logs)
        properties = self._configure(logs)
        options = [
            f"-Xmx{self.heap}",
            f"-Xms{self.heap}",
            "-XX:+UseG1GC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ]
        # Kafka's native libraries; without it newer runtimes warn.
        options.append("--enable-native-access=ALL-UNNAMED")
        return [java[0], *options, *java[1:], "kafka.Kafka", str(properties)]

    def answers(self) -> bool:
        """Tell whether the broker serves clients; blocks for a few seconds where it does not."""
        return answers({"bootstrap.servers": self.bootstrap_servers})

    def _format(self, java: list[str], logs: Path) -> None:
        """Format beside the storage's place and move it there when it is whole: the formatter may be killed."""
        partial = fresh_beside(logs)
        properties = self._configure(partial)
        formatter = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={self.cluster_id}"]
        _run([*formatter, "-c", str(properties), *self.format_arguments])
        try:
            partial.rename(logs)
        except OSError as exc:
            raise DevstackError(f"{logs} is in the way of Kafka's data: remove it. ({exc})") from exc

    def _configure(self, logs: Path) -> Path:
        properties = self.directory / "server.properties"
        properties.write_text(
            PROPERTIES.format(
                host=HOST,
                port=self.port,
                controller_port=self.controller_port,
                # Java reads this file as Latin-1 with the escapes of JSON.
                logs=json.dumps(str(logs))[1:-1],
            )
            # Of two lines with the same name the last one holds.
            + "".join(f"{name}={value}\n" for name, value in self.properties.items()),
            encoding="ascii",
        )
        return properties

    def start(self, *, progress: Callable[[str], None]) -> subprocess.Popen[bytes]:
        """Start the broker in a session of its own, so that a Ctrl-C on the terminal does not reach it."""
        command = self.prepare(progress=progress)
        with self.log.open("ab") as output:
            return subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, env={**os.environ, **ENVIRONMENT}
            )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the broker to end and see that it does."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(connection: Mapping[str, str]) -> bool:
    """Tell whether brokers answer at an address, given as properties of the client."""
    # The client reports each refused connection to its log.
    quiet = logging.getLogger("devstack.kafka.client")
    quiet.disabled = True
    try:
        AdminClient({**connection, **QUICK}, logger=quiet).list_topics(timeout=ANSWER_SECONDS)
    except KafkaException:
        return False
    return True


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
    )
    if done.returncode:
        raise DevstackError(f"Kafka's storage could not be formatted: {(done.stderr or done.stdout)[-2_000:]}")
