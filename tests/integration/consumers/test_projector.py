"""Events, dead letters and offsets are stored together, each event once, with the consumer's rights."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from auditlog.models import AuditLog, ConsumerOffset
from auditlog.partitions import partition_name
from auditlog.roles import Role
from consumers import deadletters
from consumers.faults import OffsetConflict, Unavailable
from consumers.models import DeadLetter
from consumers.projector import Projector
from consumers.reasons import DeadLetterReason
from consumers.records import Batch, Partition, Record
from tests.integration.consumers.conftest import GROUP, Connect, stored_ids
from tests.unit.consumers.builders import event, record, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
ONE, TWO = Partition("test.doctors.doctor", 0), Partition("test.doctors.doctor", 1)


def good(offset: int, *, partition: Partition = ONE, **audit: Any) -> Record:
    """Return the record of an event of now."""
    return record(event(at=timezone.now(), **audit), partition=partition, offset=offset)


def next_offsets() -> dict[Partition, int]:
    """Return the stored offsets."""
    rows = ConsumerOffset.objects.using("default").filter(group=GROUP)
    return {Partition(row.topic, row.partition): row.next_offset for row in rows}


def letters() -> list[tuple[int, str]]:
    """Return offset and reason of the dead letters."""
    return list(DeadLetter.objects.using("default").order_by("offset").values_list("offset", "reason"))


def test_i6_a_batch_is_stored_with_its_offsets(projector: Projector) -> None:
    batch = Batch((good(0), good(1), good(0, partition=TWO)), {ONE: None, TWO: None})
    stored = projector.store(batch)
    assert (stored.events, stored.repeated, stored.dead_letters) == (3, 0, 0)
    assert len(stored_ids()) == 3
    assert next_offsets() == projector.positions([ONE, TWO]) == {ONE: 2, TWO: 1}


def test_a_row_holds_what_the_event_says(projector: Projector) -> None:
    number = "12345678901234567890.123456789012345678901234567890"
    at = timezone.now()
    value = event(at=at, data={"n": 1}, reason="because")
    text = record(value).value or b""
    projector.store(Batch((record(text.replace(b'"b@example.org"', number.encode()), partition=ONE),), {ONE: None}))
    row = AuditLog.objects.using("default").get()
    assert (row.occurred_at, row.model, row.object_pk, row.action) == (at, "doctors.doctor", "17", "update")
    assert row.changes == {"email": ["a@example.org", Decimal(number)], "department": [3, 4]}
    assert (row.remote_addr, row.request_id, row.actor_id, row.reason) == ("192.0.2.7", "0f6e", "7", "because")
    assert (row.topic, row.partition, row.offset, row.transaction_id) == (*ONE, 0, "774")
    assert timedelta(0) <= row.stored_at - at < timedelta(minutes=1)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT after ->> 'email', changes -> 'email' ->> 1 FROM auditlog_auditlog")
        assert cursor.fetchone() == (number, number)


def test_a_row_holds_what_questions_are_asked_by(projector: Projector) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    declared: dict[str, Any] = {
        "is_subject": True,
        "subject_columns": {"tax_id": "x.y"},
        "label_columns": {"department": "department_id"},
    }
    actor = {"id": "7", "repr": "m", "type": "user", "on_behalf_of": {"id": "9", "repr": "ada"}}
    projector.store(
        Batch(
            (good(0, actor=actor, context={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}, **declared),), {ONE: None}
        )
    )
    row = AuditLog.objects.using("default").get()
    assert row.subjects == ["doctors.doctor:17", "x.y:***"]
    assert row.labels == ["department:3", "department:4"]
    assert row.changed_fields == ["email", "department"]
    assert (row.on_behalf_of_id, row.trace_id) == ("9", trace)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1), unique=True
    )
)
@example(names=['a"b', "a\\", '\\"', "{a,b}", "NULL", " ", "a,b", "\n"])
def test_names_are_stored_letter_by_letter(projector: Projector, names: list[str]) -> None:
    found = record(event(at=timezone.now(), subjects=names))
    with transaction.atomic("audit"):
        assert projector.store_again([found]) == []
    assert AuditLog.objects.using("default").latest("stored_at").subjects == names


def test_the_longest_names_that_are_kept_fit_into_the_indexes(projector: Projector) -> None:
    # Characters of four bytes that no compression makes shorter.
    longest = "".join(chr(0x20000 + number * 37 % 0xA000) for number in range(500))
    stored = projector.store(Batch((good(0, subjects=[longest], labels=[longest, longest + "x"]),), {ONE: None}))
    row = AuditLog.objects.using("default").get()
    assert (stored.dead_letters, row.subjects, row.labels) == (0, [longest], [longest])


def test_a_row_that_a_consumer_of_the_version_before_stores_is_about_nobody(projector: Projector) -> None:
    columns = 'event_id, occurred_at, model, action, category, topic, partition, "offset", sequence'
    with connections["default"].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO auditlog_auditlog ({columns}) VALUES (%s, now(), 'a.b', 'create', 'write', 't', 0, 0, '1')",
            [uuid7(timezone.now())],
        )
    row = AuditLog.objects.using("default").get()
    assert (row.subjects, row.labels, row.changed_fields, row.on_behalf_of_id, row.trace_id) == ([], [], [], None, None)


def test_i6_a_whole_topic_that_is_delivered_again_changes_nothing(projector: Projector) -> None:
    records = (*(good(offset) for offset in range(20)), record(b"bad", partition=ONE, offset=20))
    projector.store(Batch(records, {ONE: None}))
    before = (stored_ids(), letters(), AuditLog.objects.using("default").latest("stored_at").stored_at)
    stored = Projector(group="another").store(Batch(records, {ONE: None}))
    assert (stored.events, stored.repeated) == (0, 20)
    assert (stored_ids(), letters(), AuditLog.objects.using("default").latest("stored_at").stored_at) == before


def test_i6_an_event_twice_in_one_batch_is_one_row(projector: Projector) -> None:
    first = good(0)
    again = Record(ONE, 1, first.key, first.value)
    stored = projector.store(Batch((first, again), {ONE: None}))
    assert (stored.events, stored.repeated, len(stored_ids())) == (1, 1, 1)


@pytest.mark.parametrize("expected", [None, 0, 1, 3])
def test_i6_a_zombie_stores_nothing(projector: Projector, expected: int | None) -> None:
    projector.store(Batch((good(0), good(1)), {ONE: None}))
    before = stored_ids()
    zombie = Batch((good(2), record(b"bad", partition=ONE, offset=3), good(0, partition=TWO)), {ONE: expected})
    with pytest.raises(OffsetConflict):
        projector.store(zombie)
    assert (stored_ids(), letters(), next_offsets()) == (before, [], {ONE: 2})


def test_i6_a_zombie_that_waited_for_the_other_writer_stores_nothing(projector: Projector, as_role: Connect) -> None:
    projector.store(Batch((good(0),), {ONE: None}))
    before = stored_ids()
    with as_role(Role.CONSUMER) as other:
        other.autocommit = False
        other.execute("UPDATE auditlog_consumeroffset SET next_offset = 2")
        with connections["audit"].cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        # Not a conflict while nobody knows whether the other one commits.
        with pytest.raises(Unavailable):
            projector.store(Batch((good(1),), {ONE: 1}))
        other.commit()
    with pytest.raises(OffsetConflict):
        projector.store(Batch((good(1),), {ONE: 1}))
    assert stored_ids() == before


def test_i6_offsets_stay_where_the_rows_cannot_be_stored(projector: Projector) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("REVOKE INSERT ON auditlog_auditlog FROM auditlog_consumer")
    try:
        with pytest.raises(Unavailable, match="InsufficientPrivilege"):
            projector.store(Batch((good(0),), {ONE: None}))
    finally:
        with connections["default"].cursor() as cursor:
            cursor.execute("GRANT INSERT ON auditlog_auditlog TO auditlog_consumer")
    assert (stored_ids(), next_offsets()) == ([], {})


def test_i7_a_malformed_record_is_a_dead_letter_and_its_neighbours_are_stored(projector: Projector) -> None:
    bad = Record(ONE, 1, b"\xff", b"{not json \x00", (("ce_id", b"\xff"), ("a", None)))
    stored = projector.store(Batch((good(0), bad, good(2)), {ONE: None}))
    assert (stored.events, stored.dead_letters, next_offsets()) == (2, 1, {ONE: 3})
    letter = DeadLetter.objects.using("default").get()
    assert (letter.topic, letter.partition, letter.offset) == (*ONE, 1)
    assert (bytes(letter.key or b""), bytes(letter.value or b"")) == (b"\xff", b"{not json \x00")
    assert letter.headers == [{"name": "ce_id", "base64": "/w=="}, {"name": "a", "value": None}]
    assert letter.reason == DeadLetterReason.INVALID_JSON


def test_i7_a_record_of_a_newer_version_is_a_dead_letter_and_its_neighbours_are_stored(projector: Projector) -> None:
    newer = Record(ONE, 1, b"17", good(1).value, (("ce_type", b"auditlog.doctors.doctor.update.v2"),))
    stored = projector.store(Batch((good(0), newer, good(2)), {ONE: None}))
    assert (stored.events, letters(), next_offsets()) == (2, [(1, "unknown_version")], {ONE: 3})


@pytest.mark.parametrize(
    "refused",
    [
        {"object_pk": "".join(chr(0x4E00 + i * 7 % 20_000) for i in range(3_000))},  # no index page holds it
        {"context": {"request_id": "".join(chr(0x4E00 + i * 7 % 20_000) for i in range(3_000))}},
    ],
)
def test_i7_the_one_row_that_the_database_refuses_is_found(projector: Projector, refused: dict[str, Any]) -> None:
    records = tuple(good(offset, **(refused if offset == 5 else {})) for offset in range(9))
    stored = projector.store(Batch(records, {ONE: None}))
    assert (stored.events, letters(), next_offsets()) == (8, [(5, "refused_by_database")], {ONE: 9})
    detail = DeadLetter.objects.using("default").get().detail
    assert "54000" in detail
    assert "\u4e00" not in detail


def test_i7_a_number_beyond_the_database_is_refused_alone(projector: Projector) -> None:
    huge = (good(1).value or b"").replace(b'"b@example.org"', b"1e999999")
    stored = projector.store(Batch((good(0), record(huge, partition=ONE, offset=1)), {ONE: None}))
    assert (stored.events, letters()) == (1, [(1, "refused_by_database")])


def test_i7_all_rows_may_be_refused(projector: Projector) -> None:
    huge = (good(0).value or b"").replace(b'"b@example.org"', b"1e999999")
    batch = Batch(tuple(record(huge, partition=ONE, offset=n) for n in range(3)), {ONE: None})
    assert projector.store(batch).dead_letters == 3
    assert next_offsets() == {ONE: 3}


def test_i11_an_event_out_of_the_horizon_is_a_dead_letter(projector: Projector) -> None:
    far = event(at=timezone.now() + timedelta(days=800))
    old = event(at=datetime(1995, 1, 1, tzinfo=UTC))
    batch = Batch((record(far, partition=ONE), good(1), record(old, partition=ONE, offset=2)), {ONE: None})
    assert projector.store(batch).events == 1
    assert letters() == [(0, "out_of_horizon"), (2, "out_of_horizon")]


@pytest.fixture
def a_new_month() -> datetime:
    """A month within the horizon that has no partition."""
    at = timezone.now() - timedelta(days=400)
    with connections["default"].cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {partition_name(at)}")
    return at


def test_a_new_month_works_without_audit_partitions(projector: Projector, a_new_month: datetime) -> None:
    records = (good(0), record(event(at=a_new_month), partition=ONE, offset=1))
    assert projector.store(Batch(records, {ONE: None})).events == 2
    with connections["default"].cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {partition_name(a_new_month)}")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("statement", ["UPDATE auditlog_auditlog SET action = 'x'", "DELETE FROM auditlog_auditlog"])
@pytest.mark.parametrize("role", [Role.APP, Role.RELAY, Role.CONSUMER, Role.READER])
def test_i11_no_role_of_the_service_changes_the_audit_log(
    projector: Projector, as_role: Connect, role: Role, statement: str
) -> None:
    projector.store(Batch((good(0),), {ONE: None}))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role).execute(statement)
    partition = statement.replace("auditlog_auditlog", partition_name(timezone.now()))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role).execute(partition)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role).execute("TRUNCATE auditlog_auditlog")


def test_i11_the_consumer_makes_partitions_through_the_function_alone(as_role: Connect, a_new_month: datetime) -> None:
    consumer = as_role(Role.CONSUMER)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        consumer.execute("CREATE TABLE mine PARTITION OF auditlog_auditlog DEFAULT")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        consumer.execute(f"DROP TABLE {partition_name(timezone.now())}")
    assert consumer.execute("SELECT auditlog_ensure_partition(%s)", [a_new_month]).fetchone() == (True,)
    assert consumer.execute("SELECT auditlog_ensure_partition(%s)", [a_new_month]).fetchone() == (False,)
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow):
        consumer.execute("SELECT auditlog_ensure_partition(now() + interval '3 years')")


@pytest.mark.parametrize("role", [Role.APP, Role.RELAY, Role.READER])
def test_i11_no_other_role_makes_partitions(as_role: Connect, role: Role) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role).execute("SELECT auditlog_ensure_partition(now())")


def test_the_consumer_has_no_right_on_the_domain(as_role: Connect) -> None:
    for table in ("auth_user", "auditlog_apikey", "auditlog_outboxevent", "auditlog_secret"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(Role.CONSUMER).execute(f"SELECT 1 FROM {table}")


def test_a_connection_that_was_cut_is_made_anew(projector: Projector, as_role: Connect) -> None:
    projector.store(Batch((good(0),), {ONE: None}))
    with connections["audit"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    as_role(Role.CONSUMER).execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(Unavailable):
        projector.store(Batch((good(1),), {ONE: 1}))
    assert projector.store(Batch((good(1),), {ONE: 1})).events == 1


def test_a_transaction_whose_consumer_went_silent_is_ended_by_the_server(
    projector: Projector, settings: Settings, monkeypatch: pytest.MonkeyPatch, as_role: Connect
) -> None:
    """A consumer whose machine is gone has no last words: what it had locked would be locked for two hours."""
    projector.store(Batch((good(0),), {ONE: None}))
    settings.DATABASE_ANSWER_SECONDS = 0.3
    other, insert, moved = as_role(Role.CONSUMER), deadletters.insert, []

    def silent(connection: Any, dead: Any) -> None:
        # Waits until the transaction is over in which the offset was moved.
        moved.append(other.execute("UPDATE auditlog_consumeroffset SET next_offset = 1 RETURNING next_offset"))
        insert(connection, dead)

    monkeypatch.setattr(deadletters, "insert", silent)
    with pytest.raises(Unavailable):
        projector.store(Batch((good(1),), {ONE: 1}))
    assert [cursor.fetchone() for cursor in moved] == [(1,)]
    monkeypatch.undo()
    assert projector.store(Batch((good(1),), {ONE: 1})).events == 1
    assert (len(stored_ids()), next_offsets()) == (2, {ONE: 2})


def test_i7_finding_the_one_row_that_the_database_refuses_takes_few_statements(projector: Projector) -> None:
    poison = "".join(chr(0x4E00 + i * 7 % 20_000) for i in range(3_000))  # no index page holds it
    records = tuple(good(offset, object_pk=poison if offset == 300 else "17") for offset in range(512))
    with CaptureQueriesContext(connections["audit"]) as captured:
        stored = projector.store(Batch(records, {ONE: None}))
    attempts = [query for query in captured.captured_queries if "INSERT INTO auditlog_auditlog" in query["sql"]]
    # All of them, and at each of nine halvings the good half and the other one.
    assert (stored.events, stored.dead_letters, len(attempts)) == (511, 1, 19)
    assert letters() == [(300, "refused_by_database")]
