"""What is captured, under which names it is published, how far ahead partitions exist."""

from __future__ import annotations

from settings.env import env

# First part of every topic name: `<prefix>.<app_label>.<model>`.
AUDITLOG_TOPIC_PREFIX = env.matching(
    "KAFKA_TOPIC_PREFIX",
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    default="audit",
    expectation="1 to 100 letters, digits, dots, underscores and hyphens, the first a letter or digit",
)
# Above this many bytes a value travels apart from its event, which then holds a reference to it.
AUDITLOG_LARGE_VALUE_BYTES = env.integer(
    "AUDITLOG_LARGE_VALUE_BYTES", default=65_536, minimum=1_024, maximum=30_000_000
)
# An event above this gives up its largest values in that way. Kafka refuses records over 1 MB by default.
AUDITLOG_LARGE_EVENT_BYTES = env.integer(
    "AUDITLOG_LARGE_EVENT_BYTES", default=900_000, minimum=200_000, maximum=90_000_000
)
AUDITLOG_CID_HEADER = env.matching(
    "AUDITLOG_CID_HEADER", r"[A-Za-z0-9-]{1,64}", default="X-Request-ID", expectation="the name of an HTTP header"
)
# Number of reverse proxies in front of the service whose X-Forwarded-For entries are trusted; 0: the peer's address.
AUDITLOG_TRUSTED_PROXIES = env.integer("AUDITLOG_TRUSTED_PROXIES", default=0, maximum=16)
# Months for which AuditLog partitions are made ahead; also the horizon outside which an event is a dead letter.
AUDITLOG_PARTITION_MONTHS_AHEAD = env.integer("AUDITLOG_PARTITION_MONTHS_AHEAD", default=3, minimum=1, maximum=24)
# The list of events covers this many days where the caller names no window.
AUDITLOG_DEFAULT_WINDOW_DAYS = env.integer("AUDITLOG_DEFAULT_WINDOW_DAYS", default=30, minimum=1, maximum=3_650)
# Tokens that a caller of the audit API may use up in a window of so many seconds, and those that an address may use
# up by calls without good credentials. 0: no limit.
AUDITLOG_RATE_LIMIT_SECONDS = env.integer("AUDITLOG_RATE_LIMIT_SECONDS", default=60, minimum=1, maximum=86_400)
AUDITLOG_RATE_LIMIT_TOKENS = env.integer("AUDITLOG_RATE_LIMIT_TOKENS", default=6_000)
AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS = env.integer("AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS", default=60)
# Whoever may see values of restricted classes has to say why, in the header X-Audit-Reason.
AUDITLOG_DEMAND_REASON = env.boolean("AUDITLOG_DEMAND_REASON", default=False)
# The database works on a statistic, or on the count of a list, for this long at most.
AUDITLOG_QUERY_TIMEOUT_SECONDS = env.integer("AUDITLOG_QUERY_TIMEOUT_SECONDS", default=5, minimum=1, maximum=600)
# A walk through pages goes on for this long after its last answer; seconds.
AUDITLOG_CURSOR_SECONDS = env.integer("AUDITLOG_CURSOR_SECONDS", default=86_400, minimum=60, maximum=2_592_000)
# Callers from whom something is hidden are answered on a full step of so many seconds; 0: as soon as can be.
AUDITLOG_ANSWER_STEP_SECONDS = env.number("AUDITLOG_ANSWER_STEP_SECONDS", default=0.1, minimum=0, maximum=10)
