"""Closed vocabularies that events, operators and dashboards share. Changing a member is an interface change."""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """`op` of an event, as Debezium names it."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"  # a row of a snapshot
    MESSAGE = "m"  # no row change: membership, domain event, access


class Action(StrEnum):
    """`audit.action` of the events that this package makes; domain events bring names of their own."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    M2M_ADD = "m2m.add"
    M2M_REMOVE = "m2m.remove"
    M2M_UPDATE = "m2m.update"
    SNAPSHOT = "snapshot"
    ACCESS = "access"
    # Of the system, about no object:
    AUDITING_DISABLED = "auditing_disabled"  # writes of a model go uncaptured
    OUTBOX_REQUEUED = "outbox_requeued"  # parked events are to be published after all
    OUTBOX_OFFLOADED = "outbox_offloaded"  # parked events gave up their largest values, and are to be published
    OUTBOX_DROPPED = "outbox_dropped"  # parked events were removed: they will never be published
    AUDIT_LOG_REPLAYED = "audit_log_replayed"  # topics were read once more into the audit log
    TOPIC_REPLAYED = "topic_replayed"  # a topic was filled out of the audit log
    CONSUMER_OFFSETS_MOVED = "consumer_offsets_moved"  # events are read again, or skipped
    GAP_EXPLAINED = "gap_explained"  # somebody has said why two events of an object do not fit
    EVENTS_RESTORED = "events_restored"  # lost events were put back from the topic or the audit log
    DEAD_LETTERS_REQUEUED = "dead_letters_requeued"  # records that were no events were tried again
    DEAD_LETTERS_DISCARDED = "dead_letters_discarded"  # records that are no events are to be none for good
    TOPICS_MOVED = "topics_moved"  # from here on, events of these topics go to others
    ACCESS_GRANTED = "access_granted"  # somebody may see more of the audit log, or less of it than permissions give
    ACCESS_REVOKED = "access_revoked"  # such a grant was taken back
    API_KEY_ISSUED = "api_key_issued"  # there is one more key, with which a program may do what a user may
    API_KEY_REVOKED = "api_key_revoked"  # a key is good for nothing any longer
    AUDIT_LOG_READ = "audit_log_read"  # somebody was shown something of the audit log
    AUDIT_LOG_EXPORTED = "audit_log_exported"  # somebody took a part of the audit log along
    AUDIT_LOG_REFUSED = "audit_log_refused"  # somebody asked the audit log and was shown nothing


class Category(StrEnum):
    """`audit.category`: which question of a compliance office an event answers."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    SECURITY = "security"


class ActorType(StrEnum):
    """`audit.actor.type`."""

    USER = "user"
    API_KEY = "api_key"
    COMMAND = "command"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


class FieldClass(StrEnum):
    """What a field holds, and so who may see it; given at registration, `audit.classes` of the events."""

    PUBLIC = "public"  # anybody may know it
    INTERNAL = "internal"  # of the organisation, and about no person
    CONFIDENTIAL = "confidential"  # harms the organisation where others know it
    PERSONAL = "personal"  # about a person (GDPR, article 4)
    SENSITIVE = "sensitive"  # special categories (GDPR, article 9), numbers that identify a person to authorities
    HEALTH = "health"  # about a person's health or care (HIPAA, 45 CFR 160.103)
    FINANCIAL = "financial"  # accounts, cards, income
    CREDENTIAL = "credential"  # lets its holder in: passwords, tokens, keys


class Naming(StrEnum):
    """Names in the classes of a stored event, beside those of columns and fields: what goes with fields that say it."""

    SUBJECTS = "$subjects"  # whom it is about
    LABELS = "$labels"  # where it belongs


class BulkPolicy(StrEnum):
    """What a set-based write (`update`, `bulk_*`) of a registered model does."""

    CAPTURE = "capture"  # captured like any other
    WARN = "warn"  # captured and logged
    RAISE = "raise"  # UncapturedWrite before the SQL runs
