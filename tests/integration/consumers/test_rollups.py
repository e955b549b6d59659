"""The counts of the rollups are those of the events, at every moment and whatever happens to whoever writes them."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from auditlog import rollups
from auditlog.models import Rollup
from auditlog.partitions import month_of
from auditlog.roles import Role
from consumers.faults import OffsetConflict
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from tests.conftest import WaitUntil
from tests.integration.consumers.books import execute
from tests.integration.consumers.conftest import Connect, acting_as
from tests.unit.consumers.builders import event, record, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
ADMIN = os.environ["TEST_POSTGRES_ADMIN_URL"]
ONE = Partition("test.doctors.doctor", 0)
RACED_EVENTS = 3_000
# Events, and what both kinds of rollups count, in one statement.
COUNTS = """
SELECT (SELECT count(*) FROM auditlog_auditlog),
    (SELECT coalesce(sum(events), 0) FROM auditlog_rollup WHERE by_actor),
    (SELECT coalesce(sum(events), 0) FROM auditlog_rollup WHERE NOT by_actor)
"""
STORE = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, action, category, actor_id, topic, partition, "offset", sequence)
SELECT id, at, 'doctors.doctor', 'update', 'write', actor, 't', 0, 0, '1'
FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[]) AS event (id, at, actor)
ON CONFLICT (event_id) DO NOTHING
"""
FORGERIES = (
    "INSERT INTO auditlog_rollup (at, by_actor, model, action, category, events) VALUES (now(), true, '', '', '', 9)",
    "UPDATE auditlog_rollup SET events = 9",
    "DELETE FROM auditlog_rollup",
    """
    CREATE TEMPORARY TABLE mine (occurred_at timestamptz, model text, action text, category text, actor_id text);
    CREATE TRIGGER mine AFTER INSERT ON mine REFERENCING NEW TABLE AS stored EXECUTE FUNCTION auditlog_roll_up()
    """,
)
# One moment for a test's events and for what it expects: a full hour may strike between two looks at the clock.
NOW = timezone.now()
UNREADABLE = "".join(chr(0x4E00 + i * 7 % 20_000) for i in range(3_000))


def at_hour(offset: int, *, hours: int = 0, partition: Partition = ONE, **audit: Any) -> Record:
    """Return the record of an event of some hours ago."""
    return record(event(at=NOW - timedelta(hours=hours), **audit), partition=partition, offset=offset)


def counted() -> tuple[int, int, int]:
    """Return how many events there are, and what the rollups say."""
    with connections["default"].cursor() as cursor:
        cursor.execute(COUNTS)
        events, with_actor, without = cursor.fetchone()
        return events, int(with_actor), int(without)


def differing() -> list[rollups.Difference]:
    """Return the hours whose rollups are wrong."""
    connection = connections["default"]
    return [one for at in rollups.known_months(connection) for one in rollups.differences(connection, at)]


def test_i6_an_event_is_counted_once_however_often_it_comes(projector: Projector) -> None:
    records = (at_hour(0), at_hour(1, hours=5, action="create"), at_hour(2, actor=None))
    projector.store(Batch(records, {ONE: None}))
    Projector(group="replay").store(Batch(records, {ONE: None}))
    with transaction.atomic(using="audit"):
        projector.store_again(records)
    with pytest.raises(OffsetConflict):
        projector.store(Batch((at_hour(0), at_hour(1)), {ONE: None}))
    assert counted() == (3, 3, 3)
    rows = Rollup.objects.using("default").filter(by_actor=True).order_by("-at", "actor_id")
    assert list(rows.values_list("action", "category", "actor_id", "events")) == [
        ("update", "write", "7", 1),
        ("update", "write", None, 1),
        ("create", "write", "7", 1),
    ]
    assert differing() == []


def test_i6_only_what_is_stored_is_counted_when_a_batch_is_halved(projector: Projector) -> None:
    refused = at_hour(2, object_pk=UNREADABLE)
    projector.store(Batch((at_hour(0), at_hour(1), refused, at_hour(3)), {ONE: None}))
    assert counted() == (3, 3, 3)
    with transaction.atomic(using="audit"):
        projector.store_again([refused, at_hour(4)])
    assert counted() == (4, 4, 4)


def test_events_that_come_late_are_counted_in_their_own_hour(projector: Projector, read_model: None) -> None:
    projector.store(Batch((at_hour(0, hours=30),), {ONE: None}))
    run("compact")
    projector.store(Batch((at_hour(1, hours=30), at_hour(2, hours=30)), {ONE: 1}))
    assert Rollup.objects.using("default").filter(by_actor=False).count() == 2
    run("compact")
    row = Rollup.objects.using("default").get(by_actor=False)
    expected = (NOW - timedelta(hours=30)).replace(minute=0, second=0, microsecond=0)
    assert (row.at, row.events, row.compacted) == (expected, 3, True)
    assert differing() == []


def test_nobody_but_the_owner_can_change_a_count(projector: Projector, as_role: Connect) -> None:
    projector.store(Batch((at_hour(0),), {ONE: None}))
    for role in (Role.APP, Role.RELAY, Role.CONSUMER, Role.READER):
        for statement in FORGERIES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                as_role(role).execute(statement.encode())
    assert counted() == (1, 1, 1)


class Race:
    """Writers, upkeeps and a reader of the counts at the same time; any of them but the reader may be killed."""

    def __init__(self, as_role: Connect) -> None:
        now = timezone.now()
        self.as_role, self.month, self.over = as_role, month_of(now), threading.Event()
        self.moments = [now - timedelta(hours=n % 60) for n in range(RACED_EVENTS)]
        self.ids = [uuid7(at) for at in self.moments]
        # The session in which each one works, and how often each has finished.
        self.sessions: dict[str, int] = {}
        self.finished = Counter[str]()

    def write(self, name: str, step: int) -> None:
        """Store all events, in batches that overlap; a batch that was killed is stored again."""
        first = 0
        while first < len(self.ids):
            try:
                with self.as_role(Role.CONSUMER) as session:
                    self.sessions[name] = session.info.backend_pid
                    while first < len(self.ids):
                        part = slice(max(first - 40, 0), first + step)
                        actors = [str(at.hour % 7) for at in self.moments[part]]
                        session.execute(STORE.encode(), [self.ids[part], self.moments[part], actors])
                        first += step
            except psycopg.OperationalError:
                continue

    def compact(self) -> None:
        """Put together what is fresh."""
        for hour in rollups.fresh_hours(connections["audit"]):
            rollups.compact(connections["audit"], hour)

    def rebuild(self) -> None:
        """Count a month anew."""
        rollups.rebuild(connections["audit"], self.month)

    def again(self, name: str, work: Callable[[], None]) -> None:
        """Work until it is over."""
        while not self.over.is_set():
            try:
                with connections["audit"].cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    self.sessions[name] = cursor.fetchone()[0]
                work()
                self.finished[name] += 1
            except DatabaseError as exc:
                # Killed; never in the way of the other one.
                if isinstance(exc.__cause__, psycopg.errors.SerializationFailure):
                    raise
                connections["audit"].close()
        connections["audit"].close()

    def watch(self) -> None:
        """Look at the counts in one snapshot after the other, and kill somebody now and then."""
        looks = 0
        with self.as_role(Role.OWNER) as owner, psycopg.connect(ADMIN, autocommit=True) as killer:
            while not self.over.is_set():
                events, with_actor, without = owner.execute(COUNTS.encode()).fetchone() or (0, 1, 2)
                assert events == with_actor == without
                looks = self.finished["watch"] = looks + 1
                if looks % 10 == 0 and self.sessions:
                    victims = [*self.sessions.values()]
                    killer.execute("SELECT pg_terminate_backend(%s)", [victims[looks // 10 % len(victims)]])


def test_i6_counts_agree_at_every_moment_while_sessions_are_killed(
    read_model: None, as_role: Connect, wait_until: WaitUntil
) -> None:
    race = Race(as_role)
    enough = {"watch": 20, "compact": 1, "rebuild": 1}

    def has_run() -> bool:
        """Whether everything is written, and everybody had a turn between two kills."""
        return all(one.done() for one in writers) and all(
            race.finished[name] >= least for name, least in enough.items()
        )

    with ThreadPoolExecutor() as pool:
        watched = pool.submit(race.watch)
        upkeeps = [pool.submit(race.again, work.__name__, work) for work in (race.compact, race.rebuild)]
        writers = [pool.submit(race.write, "one", 7), pool.submit(race.write, "two", 13)]
        try:
            wait_until(lambda: watched.done() or has_run(), timeout=120)
        finally:
            race.over.set()
        assert [one.result() for one in (watched, *upkeeps, *writers)] == [None] * 5
    assert counted() == (RACED_EVENTS, RACED_EVENTS, RACED_EVENTS)
    assert differing() == []


def test_months_that_were_stored_before_there_were_counts_are_counted_by_the_upkeep(
    read_model: None, projector: Projector
) -> None:
    projector.store(Batch((at_hour(0), at_hour(1)), {ONE: None}))
    month = month_of(NOW)
    execute("TRUNCATE auditlog_rollup")
    execute("INSERT INTO auditlog_rollupbacklog (month) VALUES (%s)", [month])
    verified = run("verify")
    assert (verified["backlog"], verified["differences"]) == ([f"{month:%Y-%m}"], [])
    assert (run("compact")["rebuilt"], run("verify")["backlog"]) == ([f"{month:%Y-%m}"], [])
    assert counted() == (2, 2, 2)


def test_wrong_counts_are_found_and_counted_anew(read_model: None, projector: Projector) -> None:
    projector.store(Batch((at_hour(0), at_hour(1), at_hour(2, action="create")), {ONE: None}))
    execute("UPDATE auditlog_rollup SET events = events + 4 WHERE action = 'update' AND NOT by_actor")
    execute("DELETE FROM auditlog_rollup WHERE action = 'create' AND by_actor")
    with pytest.raises(CommandError, match="run `audit_rollups rebuild`"):
        run("verify")
    hours = differing()
    assert [(one.lacking, one.surplus) for one in hours] == [(1, 4)]
    assert hours[0].at == NOW.replace(minute=0, second=0, microsecond=0)
    run("rebuild", "--from", f"{NOW:%Y-%m}", "--to", f"{NOW:%Y-%m}")
    assert run("verify")["differences"] == []


def test_the_planner_knows_how_many_counts_there_are_as_soon_as_they_are_made(
    read_model: None, projector: Projector
) -> None:
    projector.store(Batch((at_hour(0), at_hour(1, hours=1), at_hour(2, hours=2)), {ONE: None}))
    execute("TRUNCATE auditlog_rollup")
    run("rebuild")
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = 'auditlog_rollup'::regclass")
        assert cursor.fetchone() == (6.0,)


def test_an_event_of_the_last_instant_of_a_month_is_counted_there(read_model: None) -> None:
    first = month_of(timezone.now())
    before = first - timedelta(microseconds=1)
    execute(STORE, [[uuid7(first), uuid7(first)], [before, first], ["1", "1"]])
    execute("TRUNCATE auditlog_rollup")
    for month in (month_of(before), first):
        rollups.rebuild(connections["default"], month)
    rows = Rollup.objects.using("default").filter(by_actor=True).order_by("at")
    assert [(row.at, row.events) for row in rows] == [(first - timedelta(hours=1), 1), (first, 1)]


def test_the_upkeep_and_the_readers_of_an_hour_read_its_rows_only(read_model: None) -> None:
    execute(
        "INSERT INTO auditlog_rollup (at, by_actor, model, action, category, actor_id, events, compacted) "
        "SELECT '2026-01-01'::timestamptz + make_interval(hours => n / 40), n % 40 > 2, 'a.b', n::text, 'write', "
        "n::text, 1, n < 39000 FROM generate_series(0, 39999) n"
    )
    execute("ANALYZE auditlog_rollup")
    hour = "'2026-01-11'"
    statements = {
        rollups.COMPACT.replace("%s", hour): "auditlog_rollup_hours",
        rollups.FRESH_HOURS: "auditlog_rollup_fresh",
        f"SELECT sum(events) FROM auditlog_rollup WHERE NOT by_actor AND at = {hour}": "auditlog_rollup_hours",
    }
    for statement, index in statements.items():
        with connections["default"].cursor() as cursor:
            cursor.execute(f"EXPLAIN {statement}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert index in plan
        assert "Seq Scan" not in plan


def run(*arguments: str) -> dict[str, Any]:
    """Return what the command reports."""
    output = StringIO()
    with acting_as(Role.OWNER):
        call_command("audit_rollups", *arguments, "--json", stdout=output)
    report: dict[str, Any] = json.loads(output.getvalue())
    return report
