"""The consumer's metrics. Names are an interface: dashboards and alerts use them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

STORED = Counter("auditlog_consumer_events_stored", "Events that became rows of the read model.")
REPEATED = Counter("auditlog_consumer_events_repeated", "Records whose event the read model held already.")
DEAD_LETTERS = Counter("auditlog_consumer_dead_letters", "Records that became dead letters.", ["reason"])
OPEN_DEAD_LETTERS = Gauge(
    "auditlog_consumer_open_dead_letters",
    "Dead letters about which nobody has decided yet, in the database.",
    ["reason"],
)
OFFSET_CONFLICTS = Counter("auditlog_consumer_offset_conflicts", "Batches given up: another consumer was first.")
UNAVAILABLE = Counter("auditlog_consumer_database_unavailable", "Attempts to store that the database could not take.")
BATCH_SECONDS = Histogram("auditlog_consumer_batch_seconds", "Time to decode and store one batch, in seconds.")
BATCH_RECORDS = Histogram(
    "auditlog_consumer_batch_records", "Records in a batch.", buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000)
)
DELAY_SECONDS = Histogram(
    "auditlog_consumer_delay_seconds",
    "Time from an event to its storage, in seconds.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3_600),
)
LAG_EVENTS = Gauge(
    "auditlog_consumer_lag_events", "Records that the partitions of this process have beyond what is stored.", ["topic"]
)
LAG_SECONDS = Gauge("auditlog_consumer_lag_seconds", "Age of the oldest record that was fetched and is not stored.")
PARTITION_HORIZON_DAYS = Gauge(
    "auditlog_consumer_partition_horizon_days", "Days until the first month for which the audit log has no partition."
)
ASSIGNED = Gauge("auditlog_consumer_partitions_assigned", "Partitions that this process reads.")
STOPPED = Gauge(
    "auditlog_consumer_partition_stopped",
    "1 while a partition is not read because its stored offset is no longer on the topic.",
    ["topic", "partition"],
)
LAST_LOOP = Gauge("auditlog_consumer_last_loop_timestamp_seconds", "When the run loop last went round, in Unix time.")
DIFFERENCE = Gauge(
    "auditlog_reconciliation_difference",
    "Events of compared minutes that only one side has: lost, or unaccounted. Zero, or somebody must look.",
    ["kind", "topic"],
)
# In place of the names of topics to which no registered model publishes any more.
UNREGISTERED = "unregistered"
PENDING = Gauge("auditlog_reconciliation_pending_events", "Events of compared minutes that still wait in the outbox.")
OPEN_MINUTES = Gauge("auditlog_reconciliation_open_minutes", "Topics and minutes whose sides differ.")
PROVEN_UNTIL = Gauge(
    "auditlog_reconciliation_closed_timestamp_seconds",
    "Up to when everything was compared after the last transaction that could add to it, in Unix time.",
)
ROUND_SECONDS = Gauge("auditlog_reconciliation_round_seconds", "How long the last round took, in seconds.")
ROUND_FAILURES = Counter("auditlog_reconciliation_failures", "Rounds that could not be finished: a database is away.")
LAST_PROOF = Gauge(
    "auditlog_reconciliation_last_loop_timestamp_seconds", "When the proof's run loop last went round, in Unix time."
)
LAST_ROUND = Gauge(
    "auditlog_reconciliation_last_round_timestamp_seconds", "When the last round was finished, in Unix time."
)
CHAIN_GAPS = Gauge("auditlog_chain_gaps", "Pairs of events of an object that do not fit, by their kind.", ["kind"])
