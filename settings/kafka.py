"""Kafka: how to reach the brokers, what the topics look like, how the relay and the consumer behave."""

from __future__ import annotations

from settings.audit import AUDITLOG_LARGE_EVENT_BYTES
from settings.env import env
from settings.kafka_security import HINTS, security

LOCAL_BOOTSTRAP_SERVERS = "127.0.0.1:9092"


def connection() -> dict[str, str]:
    """Return the librdkafka properties every client of ours starts from."""
    servers = env.text(
        "KAFKA_BOOTSTRAP_SERVERS", default="" if env.production else LOCAL_BOOTSTRAP_SERVERS, required=True
    )
    return {"bootstrap.servers": servers, **security()}


KAFKA_CONNECTION = connection()
# What to look at when brokers refuse us, by the client's name of the error.
KAFKA_HINTS = HINTS
KAFKA_TOPIC_PARTITIONS = env.integer("KAFKA_TOPIC_PARTITIONS", default=6, minimum=1, maximum=10_000)
KAFKA_TOPIC_REPLICATION_FACTOR = env.integer("KAFKA_TOPIC_REPLICATION_FACTOR", default=1, minimum=1, maximum=32)
# Copies that must have a record before it is acknowledged; 0: all but one.
KAFKA_TOPIC_MIN_INSYNC_REPLICAS = env.integer("KAFKA_TOPIC_MIN_INSYNC_REPLICAS", default=0, maximum=32) or max(
    1, KAFKA_TOPIC_REPLICATION_FACTOR - 1
)
# A topic takes events of this size; 0: what the largest event needs, and never less than Kafka's own default.
KAFKA_TOPIC_MAX_MESSAGE_BYTES = env.integer("KAFKA_TOPIC_MAX_MESSAGE_BYTES", default=0, maximum=1_000_000_000) or max(
    1_048_588, AUDITLOG_LARGE_EVENT_BYTES + 100_000
)
# How long topics keep events; 0: for ever.
KAFKA_TOPIC_RETENTION_DAYS = env.integer("KAFKA_TOPIC_RETENTION_DAYS", default=0, maximum=36_500)
KAFKA_CONSUMER_GROUP = env.text("KAFKA_CONSUMER_GROUP", default="auditlog")
# How consumers share the partitions; `consumer` needs brokers of Kafka 4.0 or later.
KAFKA_GROUP_PROTOCOL = env.choice("KAFKA_GROUP_PROTOCOL", options=("classic", "consumer"), default="classic")
# Name of this consumer in its group: while it is away for a short time, its partitions wait for it. Empty: none.
KAFKA_GROUP_INSTANCE_ID = env.matching(
    "KAFKA_GROUP_INSTANCE_ID",
    "[A-Za-z0-9._-]{1,249}",
    default="",
    expectation="at most 249 letters, digits, dots, underscores and hyphens",
)
# So long the group waits for a consumer of which it hears nothing. By the protocol `consumer` the broker decides.
KAFKA_SESSION_TIMEOUT_SECONDS = env.integer("KAFKA_SESSION_TIMEOUT_SECONDS", default=10, minimum=6, maximum=1_800)

# `ce_source` of every event: which service it comes from, as a URI reference.
AUDITLOG_CE_SOURCE = env.text("AUDITLOG_CE_SOURCE", default="/clinic")

# Fetched at once; twice as much at most is in flight, in each of two batches.
RELAY_BATCH_ROWS = env.integer("RELAY_BATCH_ROWS", default=4_000, minimum=1, maximum=100_000)
RELAY_BATCH_BYTES = env.integer("RELAY_BATCH_BYTES", default=16_000_000, minimum=1_000, maximum=1_000_000_000)
# A relay that died is replaced after so long; also how long a database may be away before leases are given up.
RELAY_LEASE_SECONDS = env.integer("RELAY_LEASE_SECONDS", default=12, minimum=2, maximum=600)
# How long an idle relay sleeps at most when no hint comes.
RELAY_POLL_MAX_MILLISECONDS = env.integer("RELAY_POLL_MAX_MILLISECONDS", default=250, minimum=5, maximum=60_000)
# Where a relay behind a pooler listens for hints, past it; without it, it polls.
RELAY_LISTEN_URL = env.secret_url(
    "RELAY_LISTEN_URL", schemes=("postgres", "postgresql"), example="postgres://user:password@host:port/name"
)
# Run a relay in every worker of the web server. It has an address of its own: the application may not read the outbox.
RELAY_EMBEDDED = env.boolean("RELAY_EMBEDDED", default=False)
RELAY_DATABASE_URL = env.secret_url(
    "RELAY_DATABASE_URL",
    schemes=("postgres", "postgresql"),
    example="postgres://auditlog_relay:password@host:port/name",
)
if RELAY_EMBEDDED and not RELAY_DATABASE_URL:
    env.problems.setdefault(
        "RELAY_DATABASE_URL", "is not set, and RELAY_EMBEDDED needs it: the outbox's address for auditlog_relay"
    )
# How long a relay that is asked to stop waits for the broker to take what is in flight.
RELAY_DRAIN_SECONDS = env.integer("RELAY_DRAIN_SECONDS", default=20, minimum=1, maximum=600)
# How long the ledger accounts for what was published.
OUTBOX_LEDGER_DAYS = env.integer("OUTBOX_LEDGER_DAYS", default=35, minimum=1, maximum=3_650)

CONSUMER_BATCH_ROWS = env.integer("CONSUMER_BATCH_ROWS", default=2_000, minimum=1, maximum=100_000)
CONSUMER_BATCH_MILLISECONDS = env.integer("CONSUMER_BATCH_MILLISECONDS", default=20, minimum=1, maximum=60_000)
