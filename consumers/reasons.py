"""Why a record became a dead letter, and what was decided: vocabularies that dashboards and operators share."""

from __future__ import annotations

from enum import StrEnum


class DeadLetterReason(StrEnum):
    """Changing a member is an interface change."""

    EMPTY_VALUE = "empty_value"  # no value: a tombstone has no place on a topic that is a history
    INVALID_UTF8 = "invalid_utf8"  # the value, or the name of a header, is not text
    INVALID_JSON = "invalid_json"  # not JSON, or nested deeper than can be read
    INVALID_EVENT = "invalid_event"  # JSON, but keys are missing or have wrong types
    UNSTORABLE_TEXT = "unstorable_text"  # NUL or a lone surrogate, which PostgreSQL's text and jsonb cannot hold
    INVALID_EVENT_ID = "invalid_event_id"  # not a UUIDv7, or its time is not that of the event
    UNKNOWN_VERSION = "unknown_version"  # ce_type names a version of the format that this consumer cannot read
    HEADER_MISMATCH = "header_mismatch"  # ce_id contradicts the event's id
    HASH_MISMATCH = "hash_mismatch"  # the chunks of a content are not what its SHA-256 says
    OUT_OF_HORIZON = "out_of_horizon"  # dated where no partition may be made
    REFUSED_BY_DATABASE = "refused_by_database"  # readable, yet the database could not store it


class Decision(StrEnum):
    """What an operator decided about a dead letter; it is open until then. Changing a member is an interface change."""

    REQUEUED = "requeued"  # tried again, and stored
    DISCARDED = "discarded"  # it is not to be an event


class GapKind(StrEnum):
    """Why two events of an object do not fit. Changing a member is an interface change."""

    AUDITING_DISABLED = "auditing_disabled"  # writes of the model went uncaptured in a disable_auditlog block
    BYPASS = "bypass"  # found by the bypass check, and adopted
    REGISTRATION = "registration"  # another schema version: other columns, types, masks
    MASK_KEY = "mask_key"  # hashes made with keys that cannot be compared
    LARGE_VALUE = "large_value"  # a reference beside a value whose text the database has not kept
    FILLED = "filled"  # was unexplained; the event that was missing has come
    EXPLAINED = "explained"  # an operator has said why: see the audit trail
    UNEXPLAINED = "unexplained"  # an alarm: somebody changed the row past the ORM, or the audit log
