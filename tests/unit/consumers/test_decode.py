"""A record is a row of the read model, or says why it is none."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import contents
from consumers.decode import Decoded, Rejected, Row, decode
from consumers.reasons import DeadLetterReason as Reason
from consumers.records import Record
from tests.unit.consumers.builders import HORIZON, LAW, NOW, SEQUENCE, event, record, uuid7

NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LETTERS = st.text("xyz\u00e9", min_size=1, max_size=3)
DECLARATIONS = ("is_subject", "subject_columns", "subjects", "label_columns", "labels")


def row_of(value: dict[str, Any] | bytes) -> Row:
    """Decode a value that must be an event."""
    decoded = decode(record(value), horizon=HORIZON)
    assert isinstance(decoded, Decoded), decoded
    return decoded.row


def reason_of(read: Record) -> Reason:
    """Decode a record that must be refused."""
    decoded = decode(read, horizon=HORIZON)
    assert isinstance(decoded, Rejected), decoded
    return decoded.reason


def without(name: str, *, inside: str | None = None) -> dict[str, Any]:
    """Return an event that lacks a member."""
    value = event()
    (value[inside] if inside else value).pop(name)
    return value


def test_an_event_becomes_a_row() -> None:
    value = event()
    row = row_of(value)
    assert (row.event_id, row.occurred_at) == (row.event_id.__class__(value["audit"]["event_id"]), NOW)
    assert (row.model, row.object_pk, row.object_repr) == ("doctors.doctor", "17", "Dr Ada Byron")
    assert (row.action, row.category, row.sequence) == ("update", "write", SEQUENCE)
    assert json.loads(row.changes or "") == {"email": ["a@example.org", "b@example.org"], "department": [3, 4]}
    assert json.loads(row.before or "") == value["before"]
    assert json.loads(row.after or "") == value["after"]
    assert (row.actor_id, row.actor_repr) == ("7", "m.okonkwo")
    assert json.loads(row.actor or "") == value["audit"]["actor"]
    assert (row.remote_addr, row.request_id, row.session) == ("192.0.2.7", "0f6e", "sha256:ab")
    assert json.loads(row.context or "") == value["audit"]["context"]
    assert (row.transaction_id, row.schema_version) == ("774", "doctors.doctor:3f9c2a")
    assert (row.topic, row.partition, row.offset) == ("audit.doctors.doctor", 0, 0)
    assert (row.m2m, row.data, row.reason, json.loads(row.masked or "")) == (None, None, None, ["tax_id"])


def test_classes_are_stored_by_every_name_of_a_value() -> None:
    assert row_of(event()).classes is None
    row = row_of(event(classes={"personal": ["email", "department_id"], "sensitive": ["tax_id"]}))
    # Images have the column, changes the field.
    assert json.loads(row.classes or "") == {
        "personal": ["email", "department_id", "department"],
        "sensitive": ["tax_id"],
    }


@pytest.mark.parametrize(
    ("audit", "hidden"),
    [
        ({"subject_columns": {"department_id": "doctors.department"}}, {"personal": ["$subjects"], "health": []}),
        ({"label_columns": {"department": "department_id"}}, {"personal": ["$labels"], "health": []}),
        # Whose values are named, without the columns that they came out of.
        (
            {"subjects": ["x.y:1"], "labels": ["a:b"]},
            {"personal": ["$subjects", "$labels"], "health": ["$subjects", "$labels"]},
        ),
    ],
)
def test_subjects_and_labels_are_of_the_classes_of_the_columns_that_name_them(
    audit: dict[str, Any], hidden: dict[str, list[str]]
) -> None:
    row = row_of(event(classes={"personal": ["department_id"], "health": ["notes"]}, **audit))
    assert json.loads(row.classes or "") == {
        "personal": ["department_id", "department", *hidden["personal"]],
        "health": ["notes", *hidden["health"]],
    }


def test_subjects_and_labels_that_come_out_of_other_columns_are_not_hidden_with_a_class() -> None:
    named: dict[str, Any] = {"subject_columns": {"tax_id": "x.y"}, "label_columns": {"mail": "email"}}
    assert json.loads(row_of(event(classes={"health": ["notes"]}, **named)).classes or "") == {"health": ["notes"]}


def test_an_event_is_about_the_subjects_before_and_after_it() -> None:
    row = row_of(
        {
            **event(
                is_subject=True,
                subject_columns={"patient_id": "doctors.patient", "tenant": "shop.tenant", "gone": "shop.gone"},
                label_columns={"department": "department_id", "ward": "ward"},
            ),
            "before": {"id": 17, "patient_id": 1, "tenant": "acme", "department_id": 3, "ward": "a"},
            "after": {"id": 17, "patient_id": 2, "tenant": "acme", "department_id": None, "ward": "b"},
        }
    )
    assert row.subjects == ["doctors.doctor:17", "doctors.patient:1", "doctors.patient:2", "shop.tenant:acme"]
    assert row.labels == ["department:3", "ward:a", "ward:b"]


def test_an_event_without_images_names_its_subjects() -> None:
    value = event(action="access", is_subject=True, subjects=["doctors.patient:1"] * 2, labels=["department:3"])
    row = row_of({**value, "op": "m", "before": None, "after": None})
    assert (row.subjects, row.labels) == (["doctors.doctor:17", "doctors.patient:1"], ["department:3"])


def test_an_event_that_declares_nothing_is_about_nobody() -> None:
    row = row_of(event())
    assert (row.subjects, row.labels) == ([], [])
    nobody = row_of({**event(is_subject=True, object_pk=None), "op": "m", "before": None, "after": None})
    assert nobody.subjects == []


@pytest.mark.parametrize("value", ["", None, True, {"$ref": "ab", "bytes": 70_000}, [1, 2], "x" * 501])
def test_a_value_that_is_no_short_text_is_no_subject_and_no_label(value: Any) -> None:
    declared = event(subject_columns={"email": "shop.reader"}, label_columns={"email": "email"})
    row = row_of({**declared, "before": None, "after": {"email": value}, "op": "c"})
    assert (row.subjects, row.labels) == ([], [])


@LAW
@given(
    before=st.none() | st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | LETTERS),
    after=st.none() | st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | LETTERS),
    columns=st.lists(st.sampled_from("abcd"), unique=True),
)
def test_subjects_and_labels_are_the_values_of_the_declared_columns(
    before: dict[str, Any] | None, after: dict[str, Any] | None, columns: list[str]
) -> None:
    declared = event(subject_columns=dict.fromkeys(columns, "m"), label_columns={c: c for c in columns})
    row = row_of({**declared, "before": before, "after": after})
    held = {(c, v) for image in (before, after) if image for c, v in image.items() if c in columns and v is not None}
    assert sorted(row.labels) == sorted({f"{column}:{value}" for column, value in held})
    assert sorted(row.subjects) == sorted({f"m:{value}" for _column, value in held})


def test_changed_fields_are_the_keys_of_the_changes() -> None:
    assert row_of(event(masked_changed=["tax_id"])).changed_fields == ["email", "department", "tax_id"]


def test_whom_an_actor_stands_for_and_the_trace_are_columns() -> None:
    actor = {"id": "7", "repr": "m.okonkwo", "type": "user", "on_behalf_of": {"id": "9", "repr": "ada"}}
    trace = "0af7651916cd43dd8448eb211c80319c"
    row = row_of(event(actor=actor, context={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}))
    assert (row.on_behalf_of_id, row.trace_id) == ("9", trace)
    other = row_of(event(context={"traceparent": "00-1-2-01"}))
    assert (other.on_behalf_of_id, other.trace_id) == (None, None)


def test_a_membership_has_no_changes() -> None:
    links = {"field": "specialties", "target_model": "doctors.specialty", "added": ["3"], "removed": []}
    row = row_of({**event(action="m2m.add", m2m=links), "op": "m", "before": None, "after": None})
    assert (row.changes, row.before, row.after) == (None, None, None)
    assert row.changed_fields == ["specialties"]
    seen = row_of({**event(action="snapshot", m2m=links), "op": "m", "before": None, "after": None})
    assert seen.changed_fields == []
    assert json.loads(row.m2m or "") == links


def test_a_snapshot_says_what_is_and_not_what_changed() -> None:
    row = row_of({**event(action="snapshot"), "op": "r", "before": None})
    assert (row.changes, row.changed_fields) == (None, [])
    assert row.after is not None


def test_nothing_known_of_actor_and_context_is_null() -> None:
    row = row_of(event(actor=None, context=None))
    assert (row.actor, row.actor_id, row.context, row.remote_addr, row.request_id) == (None,) * 5


def test_keys_that_are_not_known_yet_are_no_fault() -> None:
    value = {**event(hereafter=[1]), "hereafter": {"a": 1}}
    value["source"]["hereafter"] = True
    value["audit"]["actor"]["hereafter"] = 1
    assert '"hereafter": 1' in (row_of(value).actor or "")


def test_a_newer_version_is_not_read_as_if_it_were_this_one() -> None:
    newer = record(event(), headers=[("ce_type", b"auditlog.doctors.doctor.update.v2")])
    assert reason_of(newer) is Reason.UNKNOWN_VERSION
    # Not even text: what it is, a newer consumer knows.
    assert reason_of(record(b"\xff", headers=newer.headers or ())) is Reason.UNKNOWN_VERSION
    assert contents.decode(newer) == decode(newer, horizon=HORIZON)
    this = record(event(), headers=[("ce_type", b"auditlog.doctors.doctor.update.v1")])
    assert isinstance(decode(this, horizon=HORIZON), Decoded)


def test_an_event_of_another_producer_may_know_milliseconds_only() -> None:
    assert row_of(without("ts_us")).occurred_at == NOW.replace(microsecond=123000)


def test_numbers_keep_every_digit() -> None:
    number = "123456789012345678901234567890.12345678901234567890"
    text = json.dumps(event()).replace('"b@example.org"', number)
    row = row_of(text.encode())
    assert number in (row.after or "")
    assert number in (row.changes or "")


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert row_of(event(reason="C:\\u0000")).reason == "C:\\u0000"


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert row_of(event(reason="\U0001f600")).reason == "\U0001f600"


def test_the_zone_of_an_ipv6_address_stays_in_the_context() -> None:
    row = row_of(event(context={"remote_addr": "fe80::1%eth0"}))
    assert (row.remote_addr, row.context) == ("fe80::1", '{"remote_addr": "fe80::1%eth0"}')


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY_VALUE),
        (b"", Reason.EMPTY_VALUE),
        (b"\xff\xfe{}", Reason.INVALID_UTF8),
        (b"{", Reason.INVALID_JSON),
        (b"not json", Reason.INVALID_JSON),
        (json.dumps(event()).encode() + b"}", Reason.INVALID_JSON),
        (b'{"before":' + b"[" * 100_000, Reason.INVALID_JSON),
        (b"[]", Reason.INVALID_EVENT),
        (b"{}", Reason.INVALID_EVENT),
        (without("before"), Reason.INVALID_EVENT),
        (without("audit"), Reason.INVALID_EVENT),
        (without("event_id", inside="audit"), Reason.INVALID_EVENT),
        (without("sequence", inside="source"), Reason.INVALID_EVENT),
        ({**event(), "op": "x"}, Reason.INVALID_EVENT),
        ({**event(), "ts_ms": "yesterday"}, Reason.INVALID_EVENT),
        ({**event(), "ts_us": 1.5}, Reason.INVALID_EVENT),
        ({**event(), "after": [1]}, Reason.INVALID_EVENT),
        ({**event(), "after": "text"}, Reason.INVALID_EVENT),
        (event(event_id="17"), Reason.INVALID_EVENT),
        (event(action=""), Reason.INVALID_EVENT),
        (event(object_pk=17), Reason.INVALID_EVENT),
        (event(category="gossip"), Reason.INVALID_EVENT),
        (event(data=[1]), Reason.INVALID_EVENT),
        (event(m2m="all"), Reason.INVALID_EVENT),
        (event(actor="ada"), Reason.INVALID_EVENT),
        (event(actor={"id": 7}), Reason.INVALID_EVENT),
        (event(masked="tax_id"), Reason.INVALID_EVENT),
        (event(classes={"personal": "email"}), Reason.INVALID_EVENT),
        (event(is_subject="yes"), Reason.INVALID_EVENT),
        (event(subject_columns=["patient_id"]), Reason.INVALID_EVENT),
        (event(subject_columns={"patient_id": ["doctors.patient"]}), Reason.INVALID_EVENT),
        (event(subject_columns={"patient_id": ""}), Reason.INVALID_EVENT),
        (event(subjects={"doctors.patient": 7}), Reason.INVALID_EVENT),
        (event(subjects=[7]), Reason.INVALID_EVENT),
        (event(label_columns={"department": 3}), Reason.INVALID_EVENT),
        (event(label_columns={"": "department_id"}), Reason.INVALID_EVENT),
        (event(labels="department:3"), Reason.INVALID_EVENT),
        (event(m2m={"field": 7}), Reason.INVALID_EVENT),
        (event(actor={"id": "7", "on_behalf_of": "ada"}), Reason.INVALID_EVENT),
        (event(context={"traceparent": 7}), Reason.INVALID_EVENT),
        (event(context={"remote_addr": "a phone"}), Reason.INVALID_EVENT),
        (event(reason="a\x00b"), Reason.UNSTORABLE_TEXT),
        (event(data={"a\x00": 1}), Reason.UNSTORABLE_TEXT),
        (event(data={"a": "\ud800"}), Reason.UNSTORABLE_TEXT),
        (event(event_id="6f1c1b2e-3a7d-4c3f-9a51-0d6a5b1f9c11"), Reason.INVALID_EVENT_ID),
        (event(event_id=str(uuid7(NOW - timedelta(days=2)))), Reason.INVALID_EVENT_ID),
        (event(at=HORIZON.end), Reason.OUT_OF_HORIZON),
        (event(at=HORIZON.earliest - timedelta(seconds=1)), Reason.OUT_OF_HORIZON),
        (event(event_id=str(uuid7(HORIZON.end + timedelta(seconds=1)))), Reason.OUT_OF_HORIZON),
        (event(event_id="ffffffff-ffff-7fff-bfff-ffffffffffff"), Reason.OUT_OF_HORIZON),
        ({**event(), "ts_us": 2**63 - 1}, Reason.OUT_OF_HORIZON),
    ],
)
def test_a_record_that_is_no_event_is_refused_with_its_reason(
    value: dict[str, Any] | bytes | None, reason: Reason
) -> None:
    assert reason_of(record(value)) is reason


def test_the_header_must_name_the_same_event() -> None:
    value = event()
    right = value["audit"]["event_id"].encode()
    assert isinstance(decode(record(value, headers=[("ce_id", right)]), horizon=HORIZON), Decoded)
    wrong = [("ce_id", str(uuid7(NOW)).encode())]
    assert reason_of(record(value, headers=wrong)) is Reason.HEADER_MISMATCH


def test_the_detail_does_not_quote_the_event() -> None:
    decoded = decode(record(event(object_pk=["very secret"], reason={"very": "secret"})), horizon=HORIZON)
    assert isinstance(decoded, Rejected)
    assert "secret" not in decoded.detail
    assert "object_pk" in decoded.detail


@LAW
@given(st.binary())
def test_any_bytes_are_a_row_or_a_reason(value: bytes) -> None:
    assert isinstance(decode(record(value), horizon=HORIZON), Decoded | Rejected)


@LAW
@given(st.sampled_from([*sorted(event()["audit"]), *DECLARATIONS]), NESTED)
def test_any_json_in_place_of_a_member_is_a_row_or_a_reason(name: str, value: Any) -> None:
    assert isinstance(decode(record(event(**{name: value})), horizon=HORIZON), Decoded | Rejected)


@LAW
@given(st.sampled_from(sorted(event())), NESTED)
def test_any_json_at_the_top_is_a_row_or_a_reason(name: str, value: Any) -> None:
    assert isinstance(decode(record({**event(), name: value}), horizon=HORIZON), Decoded | Rejected)
