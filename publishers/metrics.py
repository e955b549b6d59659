"""The relay's metrics. Names are an interface: dashboards and alerts use them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram


class GivenUp(StrEnum):
    """Why events in flight were given up, to be sent again."""

    LEASE_LOST = "lease_lost"  # another relay may own the shards by now
    PRODUCER_FAILED = "producer_failed"  # the client can no longer promise the order
    TOPIC_SILENT = "topic_silent"  # brokers answer, but do not acknowledge what is written to some topic
    DRAIN_OVER = "drain_over"  # the broker did not answer before the process had to end


class TopicTrouble(StrEnum):
    """Why nothing is published to a topic."""

    MISSING = "missing"  # it does not exist: kafka_topics
    DENIED = "denied"  # this client may not write to it
    SILENT = "silent"  # brokers answer, but do not acknowledge what is written to it
    FAILED = "failed"  # anything else: the log has the broker's word


PUBLISHED = Counter("auditlog_relay_events_published", "Events that the broker acknowledged and the outbox let go.")
PARKED = Counter("auditlog_relay_events_parked", "Events taken out of the queue because the broker refuses them.")
PARKED_NOW = Gauge("auditlog_relay_parked_events", "Events that are parked in the shards of this relay.")
GIVEN_UP = Counter("auditlog_relay_given_up", "Times that events in flight were given up.", ["reason"])
TOPIC_STOPPED = Gauge("auditlog_relay_topic_stopped", "1 while nothing is published to a topic.", ["topic", "trouble"])
SHARDS = Gauge("auditlog_relay_shards", "Shards that this relay holds.")
IN_FLIGHT = Gauge("auditlog_relay_in_flight_events", "Events handed to the Kafka client and not settled yet.")
PENDING = Gauge(
    "auditlog_relay_pending_events",
    "Events that wait in the shards of this relay; of each, so many are counted at most.",
)
OLDEST_SECONDS = Gauge(
    "auditlog_relay_oldest_event_seconds", "Age of the oldest event that the last scan found or that is under way."
)
UNAVAILABLE = Counter("auditlog_relay_unavailable", "Failed attempts to reach a server.", ["server"])
LEDGER_PURGED = Counter("auditlog_relay_ledger_purged", "Ledger entries removed because of their age.")
DELAY_SECONDS = Histogram(
    "auditlog_relay_delay_seconds",
    "Time from the oldest event of a batch to its acknowledgement, in seconds.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3_600),
)
LAST_LOOP = Gauge("auditlog_relay_last_loop_timestamp_seconds", "When the run loop last went round, in Unix time.")
WAKE_FAILURES = Counter("auditlog_wake_failures", "Hints to the relay that could not be sent; each costs one poll.")
