"""A row and its shape are the record that they were made of."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.decode import Decoded, decode
from consumers.records import Header, Record
from consumers.shapes import original, shape_of, text_of
from tests.unit.consumers.builders import HORIZON, LAW, NOW, SEQUENCE, event, record

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
IMAGES = st.none() | st.dictionaries(TEXT, VALUES, max_size=4)
HEADERS = st.lists(st.tuples(TEXT | st.sampled_from(["ce_subject", "ce_time", "traceparent"]), st.none() | st.binary()))
FULL = (
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/clinic"),
    ("ce_type", b"auditlog.doctors.doctor.update.v1"),
    ("ce_subject", b"17"),
    ("ce_time", b"2026-11-23T09:05:00.123456Z"),
    ("ce_partitionkey", b"17"),
    ("ce_sequence", SEQUENCE.encode()),
    ("content-type", b"application/json"),
    ("ce_dataschema", b"doctors.doctor:3f9c2a"),
)


def kept(read: Record) -> tuple[Record, str]:
    """Return the record that is made out of a record's row and shape, and the shape's text."""
    decoded = decode(read, horizon=HORIZON)
    assert isinstance(decoded, Decoded), decoded
    text = text_of(shape_of(read, decoded))
    return original(decoded.row, text), text


def parsed(value: bytes | None) -> Any:
    """Return JSON with the digits of its numbers and the order of its members."""
    return json.loads(value or b"", parse_float=str, parse_int=str, object_pairs_hook=list)


@given(before=IMAGES, after=IMAGES, data=IMAGES, more=VALUES, headers=HEADERS, key=st.none() | st.binary())
@LAW
def test_a_record_is_made_again_out_of_its_row_and_shape(
    before: Any, after: Any, data: Any, more: Any, headers: list[Header], key: bytes | None
) -> None:
    value = {**event(data=data, statement=more), "before": before, "after": after, "later": more}
    read = Record(record(value).partition, 7, key, json.dumps(value).encode(), tuple(headers))
    made, _ = kept(read)
    assert (made.key, made.headers, made.partition, made.offset) == (key, read.headers, read.partition, 7)
    assert parsed(made.value) == parsed(read.value)


def test_events_of_a_model_share_a_shape() -> None:
    one = event(object_pk="17", reason="why", actor=None)
    other = {**event(at=NOW.replace(second=1), object_pk="18"), "before": {**one["before"], "email": "c@example.org"}}
    texts = []
    for value, second in ((one, 0), (other, 1)):
        pk = value["audit"]["object_pk"]
        value["source"]["sequence"] = f"00000001:{second:020d}"
        headers = {
            **dict(FULL),
            "ce_id": value["audit"]["event_id"].encode(),
            "ce_subject": pk.encode(),
            "ce_partitionkey": pk.encode(),
            "ce_time": f"2026-11-23T09:05:0{second}.123456Z".encode(),
            "ce_sequence": value["source"]["sequence"].encode(),
        }
        read = Record(record(value).partition, 0, pk.encode(), json.dumps(value).encode(), tuple(headers.items()))
        made, text = kept(read)
        assert (made.headers, made.key) == (read.headers, read.key)
        texts.append(text)
    assert texts[0] == texts[1]
    assert "17" not in texts[0]
    assert "email" in texts[0]


def test_messages_about_different_subjects_share_a_shape() -> None:
    texts = []
    for patient in ("patients.patient:7", "patients.patient:8"):
        value = msgspec.json.encode(event(action="access", subjects=[patient], labels=["ward:3"]))
        made, text = kept(record(value))
        assert parsed(made.value) == parsed(value)
        assert patient not in text
        texts.append(text)
    assert texts[0] == texts[1]


def test_subjects_that_a_row_has_more_of_stay_in_the_shape() -> None:
    value = event(subjects=["doctors.patient:7", "doctors.patient:7"], is_subject=True, labels=["ward:3"] * 2)
    read = record({**value, "before": None})
    made, _ = kept(read)
    assert parsed(made.value) == parsed(read.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ts_ms", 1), ("op", "r"), ("transaction", {"id": "1"}), ("source", {"sequence": SEQUENCE, "txId": "774"})],
)
def test_what_a_row_does_not_know_stays_in_the_shape(name: str, value: Any) -> None:
    read = record({**event(), name: value})
    made, _ = kept(read)
    assert parsed(made.value) == parsed(read.value)


def test_a_trace_that_is_not_the_requests_is_kept() -> None:
    context = {"traceparent": "00-1-2-01"}
    for trace in (b"00-1-2-01", b"00-9-9-01"):
        read = record(event(context=context), headers=[("traceparent", trace)])
        assert kept(read)[0].headers == (("traceparent", trace),)
