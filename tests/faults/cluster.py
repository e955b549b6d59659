"""One Kafka broker or three, each behind proxies of its own for the relays and for the consumers."""

from __future__ import annotations

import signal
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from devstack import kafka, ports
from devstack.kafka import Kafka
from devstack.ports import HOST
from tests.faults.proxy import Mode, Proxy
from tests.stack import say

HEAP = "288m"
# Relays have a name, so that an ACL can deny them something; everybody else may do everything.
RELAY_USER, RELAY_PASSWORD = "relay", "relay-secret"
RELAY_ENVIRONMENT = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": RELAY_USER,
    "KAFKA_SASL_PASSWORD": RELAY_PASSWORD,
}
# Seconds instead of the defaults' tens of seconds.
TIMES = {
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "3000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
}
SMALL = {"num.network.threads": "2", "num.io.threads": "2", "background.threads": "2"}
ACCESS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
    "super.users": "User:ANONYMOUS",
    "listener.security.protocol.map": "DIRECT:PLAINTEXT,RELAY:SASL_PLAINTEXT,CONSUMER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "listener.name.relay.sasl.enabled.mechanisms": "PLAIN",
    "listener.name.relay.plain.sasl.jaas.config": (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{RELAY_USER}="{RELAY_PASSWORD}";'
    ),
}


@dataclass(slots=True)
class Broker:
    """A node, the proxies in front of it, and its process while it runs."""

    number: int
    kafka: Kafka
    direct_port: int
    relay: Proxy
    consumer: Proxy
    process: subprocess.Popen[bytes] | None = field(default=None)


class Cluster:
    """Brokers that can be killed, frozen and started again on the same data."""

    def __init__(self, folder: Path, *, brokers: int) -> None:
        ports_of = [free_ports(4) for _ in range(brokers)]
        voters = ",".join(f"{number}@{HOST}:{found[3]}" for number, found in enumerate(ports_of, 1))
        cluster_id = kafka.new_cluster_id()
        self.brokers: list[Broker] = []
        for number, (direct, relay, consumer, controller) in enumerate(ports_of, 1):
            proxies = Proxy(relay), Proxy(consumer)
            listeners = {"DIRECT": direct, "RELAY": relay, "CONSUMER": consumer, "CONTROLLER": controller}
            named = {"DIRECT": direct, "RELAY": proxies[0].port, "CONSUMER": proxies[1].port}
            properties = {
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "listeners": addresses(listeners),
                "advertised.listeners": addresses(named),
                "inter.broker.listener.name": "DIRECT",
                "offsets.topic.replication.factor": str(brokers),
                "transaction.state.log.replication.factor": str(brokers),
                "transaction.state.log.min.isr": str(max(1, brokers - 1)),
                **TIMES,
                **SMALL,
                **ACCESS,
            }
            node = Kafka(folder / f"kafka-{number}", direct, controller, HEAP, cluster_id, properties)
            self.brokers.append(Broker(number, node, direct, *proxies))

    @property
    def direct(self) -> str:
        """The address that no proxy is in front of."""
        return ",".join(f"{HOST}:{broker.direct_port}" for broker in self.brokers)

    @property
    def for_relays(self) -> str:
        """The relays' address."""
        return ",".join(f"{HOST}:{broker.relay.port}" for broker in self.brokers)

    @property
    def for_consumers(self) -> str:
        """The consumers' address."""
        return ",".join(f"{HOST}:{broker.consumer.port}" for broker in self.brokers)

    @property
    def proxies(self) -> list[Proxy]:
        """All of them."""
        return [proxy for broker in self.brokers for proxy in (broker.relay, broker.consumer)]

    @property
    def relay_proxies(self) -> list[Proxy]:
        """Those between the relays and the brokers."""
        return [broker.relay for broker in self.brokers]

    def start(self, *numbers: int) -> None:
        """Start those of these brokers, or of all, that do not run; clients wait for them by themselves."""
        for broker in self.brokers:
            if broker.process is None and (not numbers or broker.number in numbers):
                broker.process = broker.kafka.start(progress=say)

    def are_ready(self) -> bool:
        """
        Tell whether every broker accepts connections, and brokers answer.

        :raises AssertionError: if one has ended by itself.
        """
        for broker in self.brokers:
            assert broker.process is None or broker.process.poll() is None, f"a broker died, see {broker.kafka.log}"
        answering = all(ports.answers(broker.direct_port) for broker in self.brokers)
        return answering and kafka.answers({"bootstrap.servers": self.direct})

    def kill(self, *numbers: int) -> None:
        """End these brokers, or all that run, without a chance to tidy up."""
        for broker in self.brokers:
            if broker.process is not None and (not numbers or broker.number in numbers):
                broker.process.kill()
                broker.process.wait()
                broker.process = None

    def send(self, number: signal.Signals) -> None:
        """Send all brokers a signal."""
        for broker in self.brokers:
            assert broker.process is not None
            broker.process.send_signal(number)

    def switch_relays(self, mode: Mode) -> None:
        """Change what becomes of the connections between relays and brokers."""
        for proxy in self.relay_proxies:
            proxy.switch(mode)

    def heal(self) -> None:
        """Let every connection pass as if nothing had been."""
        for proxy in self.proxies:
            proxy.slow_down()
            proxy.switch(Mode.OPEN)

    def close(self) -> None:
        """End everything."""
        self.kill()
        for proxy in self.proxies:
            proxy.close()


def addresses(found: dict[str, int]) -> str:
    """Return listeners as Kafka writes them."""
    return ",".join(f"{name}://{HOST}:{port}" for name, port in found.items())


def free_ports(count: int) -> list[int]:
    """Return free ports, no two the same."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]
