"""
An audit log of any size, made on the server: two years of a hospital network, every registered model.

The rows are those of `history.sql`. Each month becomes a table of its own that is attached when it is full, so that its
indexes are made once, of all rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from psycopg import sql

from auditlog.partitions import lowest_id, month_of, months, partition_name
from auditlog.registry import auditlog
from auditlog.vocabulary import FieldClass
from bench.stack import Say

MONTHS = 24
PLACES = 80
# Months that are filled at the same time.
AT_ONCE = 2
# Rows that bring the number of objects of each place in proportion.
FULL_SIZE = 10_000_000
# Of the place whose objects have many versions, whatever the size.
VERSIONS = 1_000
MASKED = {"doctors.doctor": ["tax_id"], "doctors.patient": ["ssn"]}
FUNCTIONS = Path(__file__).with_name("history.sql")
# How many places each has, and how many objects take turns at each of them, of ten million rows.
SHARES = (
    ("doctors.appointment", "write", 30, 12_500),
    ("doctors.patient", "write", 16, 5_000),
    ("doctors.doctor", "write", 8, 1_250),
    ("doctors.practicelocation", "write", 4, 5_000),
    ("doctors.doctorprofile", "write", 4, 5_000),
    ("doctors.department", "write", 1, 40),
    ("doctors.specialty", "write", 1, 60),
    ("auth.user", "write", 1, 1_250),
    ("doctors.doctor", "versions", 1, 125),
    ("doctors.doctor", "link", 1, 1_250),
    ("doctors.doctor", "domain", 1, 1_250),
    ("doctors.patient", "read", 5, 5_000),
    ("doctors.appointment", "read", 3, 12_500),
    ("auditlog.system", "system", 4, 1),
)
PLACE = "INSERT INTO bench_history.places VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
# Indexes come when the table is attached.
MAKE = "CREATE TABLE {table} (LIKE auditlog_auditlog INCLUDING DEFAULTS INCLUDING STATISTICS)"
FILL = "INSERT INTO {table} ({columns}) SELECT {columns} FROM bench_history.rows(%s, %s, %s, %s)"
BOUNDS = (
    "ALTER TABLE {table} ADD CONSTRAINT bounds CHECK (event_id >= {low} AND event_id < {high} AND event_id IS NOT NULL)"
)
# Attaching has looked at it: it need not be there any more.
FORGET = "ALTER TABLE {table} DROP CONSTRAINT bounds"
ATTACH = "ALTER TABLE auditlog_auditlog ATTACH PARTITION {table} FOR VALUES FROM ({low}) TO ({high})"
COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = 'auditlog_auditlog'::regclass AND attnum > 0 AND NOT attisdropped
  AND attname = ANY((SELECT proargnames FROM pg_proc WHERE oid = 'bench_history.rows'::regproc)::text[])
"""
# How far the topics are stored. No broker has these partitions: consumers leave them alone.
OFFSETS = """
INSERT INTO auditlog_consumeroffset ("group", topic, partition, next_offset, updated_at)
SELECT %s, topic, partition, max("offset") + 1, now() FROM auditlog_auditlog GROUP BY topic, partition
"""


@dataclass(frozen=True, slots=True)
class Place:
    """What the rows of one place of a round are about."""

    model: str
    kind: str
    objects: int
    first_key: int

    @property
    def topic(self) -> str:
        """What is no change of a row has a topic of its own."""
        return f"audit.{self.model}" if self.kind == "write" else f"audit.{self.model}.events"


@dataclass(frozen=True, slots=True)
class History:
    """An audit log that was made: `rows` rows from `since` to before `until`."""

    rows: int
    since: datetime
    until: datetime
    # The first key of the doctors with `VERSIONS` versions, and how many of them there are.
    often_changed: int
    often_changed_count: int

    @property
    def step(self) -> timedelta:
        """How long after one row the next one comes."""
        return (self.until - self.since) / self.rows


def places(rows: int) -> list[Place]:
    """Return the places of a round, for a log of so many rows."""
    found: list[Place] = []
    next_key: dict[str, int] = {}
    for model, kind, count, objects in SHARES:
        kept = max(1, objects * rows // FULL_SIZE)
        if kind == "versions":
            kept = max(1, rows // PLACES // VERSIONS)
        for _ in range(count):
            # Reads and the like are of objects that others make.
            first = next_key.get(model, 1) if kind in {"write", "versions"} else 1
            found.append(Place(model, "write" if kind == "versions" else kind, kept, first))
            if kind in {"write", "versions"}:
                next_key[model] = first + kept
    return found


def fill(owner: psycopg.Connection[Any], *, rows: int, until: datetime, say: Say, months_back: int = MONTHS) -> History:
    """
    Fill the audit log, which must be empty, with `months_back` months up to `until`; takes minutes for millions.

    Its partitions of these months are made anew. The connection is the tables' owner's, in autocommit mode.
    """
    here = places(rows)
    first_month = months(start=until - timedelta(days=30.4375 * months_back), count=1)[0]
    often = next(place for place, share in zip(here, _shares(), strict=True) if share == "versions")
    history = History(rows, first_month, until, often.first_key, often.objects)
    owner.execute(FUNCTIONS.read_text(encoding="utf-8").encode())
    try:
        _place(owner, here)
        wanted = list(_months(history))
        for month in wanted:
            owner.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(partition_name(month))))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            filled = [threads.submit(_fill_month, owner.info.dsn, history, month) for month in wanted]
            try:
                for done in filled:
                    say(f"history: {done.result()}")
            finally:
                # Interrupted, only those that have begun are waited for.
                threads.shutdown(wait=False, cancel_futures=True)
    finally:
        owner.execute("DROP SCHEMA bench_history CASCADE")
    owner.execute(OFFSETS, [settings.KAFKA_CONSUMER_GROUP])
    say("history: statistics")
    owner.execute("VACUUM (ANALYZE) auditlog_auditlog")
    return history


def _shares() -> Iterator[str]:
    for _model, kind, count, _objects in SHARES:
        yield from [kind] * count


def _place(owner: psycopg.Connection[Any], here: list[Place]) -> None:
    topics = [place.topic for place in here]
    for number, place in enumerate(here):
        masked = MASKED.get(place.model) if place.kind == "write" else None
        owner.execute(
            PLACE,
            [
                *(number, place.model, place.kind, place.objects, place.first_key, place.topic),
                *(topics.count(place.topic), topics[:number].count(place.topic)),
                *(json.dumps(masked) if masked else None, _classes(place)),
            ],
        )


def _classes(place: Place) -> str | None:
    registration = auditlog.find(place.model)
    if registration is None or place.kind != "write":
        return None
    found: dict[str, list[str]] = {}
    for name, data_class in registration.classes.items():
        if data_class not in {FieldClass.PUBLIC, FieldClass.INTERNAL}:
            found.setdefault(data_class, []).append(name)
    return json.dumps(found)


def _months(history: History) -> Iterator[datetime]:
    month = month_of(history.since)
    while month < history.until:
        yield month
        month = months(start=month, count=2)[1]


def _fill_month(address: str, history: History, month: datetime) -> str:
    """Make the partition of a month and return its name; only attaching it waits for other months."""
    following = months(start=month, count=2)[1]
    table, low, high = (
        sql.Identifier(partition_name(month)),
        sql.Literal(lowest_id(month)),
        sql.Literal(lowest_id(following)),
    )
    first, last = (min(history.rows, max(0, -(-(at - history.since) // history.step))) for at in (month, following))
    with psycopg.connect(address) as owner:
        columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in owner.execute(COLUMNS).fetchall())
        owner.execute(sql.SQL(MAKE).format(table=table))
        statement = sql.SQL(FILL).format(table=table, columns=columns)
        owner.execute(statement, [first, last - 1, history.since, history.step])
        for change in (BOUNDS, ATTACH, FORGET):
            owner.execute(sql.SQL(change).format(table=table, low=low, high=high))
    return partition_name(month)
