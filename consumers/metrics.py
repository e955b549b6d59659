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
