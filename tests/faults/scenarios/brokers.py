"""What fails in Kafka, and between it and the service."""

from __future__ import annotations

from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.acceptance.pipeline.services import RELAY
from tests.faults.cluster import RELAY_USER, free_ports
from tests.faults.proxy import Mode
from tests.faults.run import ADMIN_SECONDS, Run
from tests.faults.scenario import scenario

# An hour of the field.
OUTAGE_SECONDS = 15.0
# What may come and go in a process anyhow.
NOISE_BYTES = 24_000_000
LATENCY_SECONDS = 0.25
LOSS = 0.1
LAG_SECONDS = 1.0
# Too small for the event that is sent, and for no other.
SMALL_BYTES, LARGE_BYTES, OFFLOADED_BYTES = 20_000, 40_000, 3_000_000
PARKED = "SELECT count(*) AS n FROM auditlog_outboxevent WHERE parked_at IS NOT NULL"
REASON = "the topic takes larger records now"
STORED = "SELECT count(*) AS n FROM auditlog_auditlog WHERE model = %s"


# The producer is given up where a broker does not answer in time, and what had no answer is sent again.
@scenario(18, "one Kafka broker of three down, each in turn", "it continues", duplicates=None, brokers=3)
def one_broker_down(run: Run) -> None:
    run.load()
    for broker in run.servers.cluster.brokers:
        run.servers.cluster.kill(broker.number)
        run.healed()
        run.grows(150)
        run.recovered()
        run.servers.cluster.start(broker.number)
        run.wait(lambda: in_sync(run), what="all copies in sync")
    run.grows(100)


@scenario(
    19, "all brokers down for long", "writers go on; memory stays flat; all is published in order", duplicates=None
)
def all_brokers_down(run: Run) -> None:
    run.load()
    relay = run.relays[0]
    run.servers.cluster.kill()
    run.grows(50)
    before = run.resident_bytes(relay)
    run.let_pass(OUTAGE_SECONDS)
    run.grows(500)
    grown = run.resident_bytes(relay) - before
    run.expect(grown < NOISE_BYTES, f"the relay grew by {grown:,} bytes")
    run.expect(run.pending() > 500, "nothing waits in the outbox")
    run.servers.cluster.start()
    run.healed()
    run.recovered()
    run.expect(run.truth().failed == 0, f"writers failed: {run.truth().errors}")


@scenario(20, "brokers slow (500 ms), lossy (10 %), then silent", "no loss; the lag is measured", duplicates=None)
def slow_brokers(run: Run) -> None:
    port = free_ports(1)[0]
    run.start_relay("--metrics-port", str(port))
    run.load()
    for loss in (0.0, LOSS):
        for proxy in run.servers.cluster.proxies:
            proxy.slow_down(latency_seconds=LATENCY_SECONDS, loss=loss)
        stored = run.stored()
        run.grows(150)
        run.wait(lambda: run.stored() > stored + 100, what="events in the log")  # noqa: B023
    for proxy in run.servers.cluster.proxies:
        proxy.slow_down()
    run.servers.cluster.switch_relays(Mode.SILENT)
    run.wait(
        lambda: run.metric(port, "auditlog_relay_oldest_event_seconds") > LAG_SECONDS, what="a lag that is measured"
    )
    run.grows(100)
    run.servers.cluster.switch_relays(Mode.OPEN)
    run.healed()
    run.recovered()


@scenario(21, "fewer copies in sync than min.insync.replicas", "tried again, not dropped", duplicates=None, brokers=3)
def too_few_copies(run: Run) -> None:
    topics = [name for name in names(run) if ".shop." in name]
    alter(run, topics, "min.insync.replicas", "3")
    run.load()
    run.servers.cluster.kill(3)
    run.wait(lambda: not in_sync(run), what="a copy out of sync")
    run.grows(200)
    stored = run.stored()
    run.let_pass(5)
    run.expect(run.stored() <= stored + 5, "events were taken without the copies that were asked for")
    run.expect(run.pending() > 100, "nothing waits in the outbox")
    run.servers.cluster.start(3)
    run.healed()
    run.recovered()


@scenario(22, "topic missing; then another denied by an ACL", "that topic alone stops; it goes on after the repair")
def topic_stopped(run: Run) -> None:
    missing, denied = run.topic("entry"), run.topic("counter")
    run.delete_topics(missing)
    run.wait(lambda: missing not in names(run), what="a topic that is gone")
    run.load()
    run.wait(lambda: run.log.query(STORED, "shop.item")[0]["n"] > 50, what="events of another topic")
    run.expect(run.log.query(STORED, "shop.entry")[0]["n"] == 0, "events of a topic that is missing")
    run.make_topics()
    run.wait(lambda: run.log.query(STORED, "shop.entry")[0]["n"] > 50, what="events of the topic that was made")
    deny(run, denied)
    run.wait(lambda: said(run, "relay.topic_stopped", denied), what="a topic that is denied")
    items, counters = (run.log.query(STORED, model)[0]["n"] for model in ("shop.item", "shop.counter"))
    run.wait(lambda: run.log.query(STORED, "shop.item")[0]["n"] > items + 50, what="events of another topic")
    run.expect(run.log.query(STORED, "shop.counter")[0]["n"] <= counters + 20, "events of a topic that is denied")
    allow(run, denied)
    run.healed()
    run.recovered()


@scenario(
    23, "event larger than the broker takes; value too large for any event", "parked, others go on; carried apart"
)
def too_large(run: Run) -> None:
    alter(run, [run.topic("item")], "max.message.bytes", str(SMALL_BYTES))
    run.load()
    run.start_writer("--once", "large", "--rows", str(LARGE_BYTES))
    run.wait(lambda: run.books.query(PARKED)[0]["n"] == 1, what="a parked event")
    run.start_writer("--once", "large", "--rows", str(OFFLOADED_BYTES))
    stored = run.stored()
    run.wait(lambda: run.stored() > stored + 150, what="events of others")
    alter(run, [run.topic("item")], "max.message.bytes", "1000000")
    run.command("outbox_requeue", "retry", "--all", "--reason", REASON, roles=RELAY)
    run.healed()
    run.recovered()
    run.wait(lambda: run.books.query(PARKED)[0]["n"] == 0, what="an outbox without parked events")


@scenario(24, "values that JSON or UTF-8 have no place for", "saved and published, carried apart where needed")
def odd_values(run: Run) -> None:
    run.load()
    run.start_writer("--once", "odd")
    account = run.files[-1]
    run.wait(lambda: account.exists() and '"ended"' in account.read_text(encoding="utf-8"), what="odd rows")
    run.healed()
    run.recovered()


def admin(run: Run) -> AdminClient:
    """Return a client for the brokers."""
    return AdminClient({"bootstrap.servers": run.servers.bootstrap, "log_level": 0})


def names(run: Run) -> list[str]:
    """Return the topics of a run."""
    return [name for name in admin(run).list_topics(timeout=ADMIN_SECONDS).topics if name.startswith(f"{run.prefix}.")]


def in_sync(run: Run) -> bool:
    """Tell whether every partition of a run has all its copies in sync."""
    topics = admin(run).list_topics(timeout=ADMIN_SECONDS).topics
    found = [p for name, t in topics.items() if name.startswith(f"{run.prefix}.") for p in t.partitions.values()]
    return all(len(partition.isrs) == len(partition.replicas) for partition in found)


def alter(run: Run, topics: list[str], name: str, value: str) -> None:
    """Change a setting of topics."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics]
    client = admin(run)
    for altered in client.incremental_alter_configs(resources).values():
        altered.result(ADMIN_SECONDS)


def deny(run: Run, topic: str) -> None:
    """Forbid the relays to write to a topic."""
    client = admin(run)
    for made in client.create_acls([_acl(topic)]).values():
        made.result(ADMIN_SECONDS)


def allow(run: Run, topic: str) -> None:
    """Take back what `deny` did."""
    client = admin(run)
    # None stands for any user and any host.
    anybody: Any = None
    found = AclBindingFilter(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        anybody,
        anybody,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    for deleted in client.delete_acls([found]).values():
        deleted.result(ADMIN_SECONDS)


def _acl(topic: str) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        f"User:{RELAY_USER}",
        "*",
        AclOperation.WRITE,
        AclPermissionType.DENY,
    )


def said(run: Run, event: str, topic: str) -> bool:
    """Tell whether the relay has logged an event of a topic."""
    return any(line["event"] == event and line.get("topic") == topic for line in run.relays[0].events())
