"""The questions that are asked of the audit API, each of other events every time, and how long each may take."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import psycopg

from auditlog.partitions import lowest_id
from bench.history import History

BASE = "/api/audit/v1/"
PAGE_SIZE = 50
# An event at about a time. Index: the primary key.
SAMPLE = """
SELECT event_id, occurred_at, model, object_pk, actor_id, request_id, transaction_id, session, subjects
FROM auditlog_auditlog WHERE event_id >= %s AND request_id IS NOT NULL AND model LIKE 'doctors.%%'
ORDER BY event_id LIMIT 1
"""
DAY = timedelta(days=1)

# The path with its query, out of a stored event.
Asked = Callable[["Sample"], str]


@dataclass(frozen=True, slots=True)
class Sample:
    """A stored event, and the log that it is in."""

    event: dict[str, Any]
    history: History
    chance: random.Random

    @property
    def instant(self) -> datetime:
        """A time within the log."""
        return self.history.since + (self.history.until - self.history.since) * self.chance.random()


@dataclass(frozen=True, slots=True)
class Question:
    """One kind of question; `limit` is the milliseconds within which 95 of 100 are to be answered, if there is one."""

    name: str
    limit: int | None
    asked: Asked
    # The page after the one that `asked` asks for is what is measured.
    following: bool = False


def events(**query: Any) -> str:
    """Return the path of a list of events."""
    return _page("events/", **query)


def _page(path: str, **query: Any) -> str:
    return f"{BASE}{path}?{_encoded(query | {'page_size': PAGE_SIZE})}"


def _encoded(query: dict[str, Any]) -> str:
    values = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in query.items()}
    return urlencode({name.rstrip("_"): value for name, value in values.items()})


def _object(sample: Sample, view: str) -> str:
    return f"{BASE}objects/{sample.event['model']}/{quote(sample.event['object_pk'], safe='')}/{view}"


def _often_changed(sample: Sample, view: str) -> str:
    number = sample.chance.randrange(sample.history.often_changed_count)
    return f"{BASE}objects/doctors.doctor/{sample.history.often_changed + number}/{view}"


def _day(sample: Sample) -> dict[str, Any]:
    start = sample.event["occurred_at"].replace(hour=0, minute=0, second=0, microsecond=0)
    return {"from_": start, "to": start + DAY}


def _activity(sample: Sample) -> str:
    return _page(f"actors/{sample.event['actor_id']}/activity/", **_day(sample))


def _whole(sample: Sample) -> dict[str, Any]:
    return {"from_": sample.history.since, "to": sample.history.until}


QUESTIONS = (
    Question("newest page", 50, lambda _sample: events()),
    Question(
        "page at random depth",
        50,
        lambda sample: events(from_=sample.history.since, to=sample.instant + DAY),
        following=True,
    ),
    Question("object timeline", 50, lambda sample: _object(sample, f"timeline/?page_size={PAGE_SIZE}")),
    Question("actor day, its events", 50, lambda sample: events(actor=sample.event["actor_id"], **_day(sample))),
    Question("actor day, activity", 50, _activity),
    Question("request view", 50, lambda sample: _page(f"requests/{sample.event['request_id']}/")),
    Question("events of a request", 50, lambda sample: events(request_id=sample.event["request_id"], **_whole(sample))),
    Question("transaction view", 50, lambda sample: _page(f"transactions/{sample.event['transaction_id']}/")),
    Question("single event", None, lambda sample: f"{BASE}events/{sample.event['event_id']}/"),
    Question(
        "as-of, 1,000 versions",
        150,
        lambda sample: _often_changed(sample, f"as-of/?{urlencode({'at': sample.instant.isoformat()})}"),
    ),
    Question("blame, 1,000 versions", None, lambda sample: _often_changed(sample, "blame/")),
    Question(
        "viewers of a patient",
        None,
        lambda sample: f"{BASE}objects/doctors.patient/{sample.chance.randrange(1, 100)}/viewers/",
    ),
    Question(
        "rare: a subject, two years",
        150,
        lambda sample: events(subject=(sample.event["subjects"] or ["doctors.patient:17"])[-1], **_whole(sample)),
    ),
    Question(
        "rare: failed logins of one actor, two years",
        150,
        lambda sample: events(actor=sample.event["actor_id"], action="login_failed", **_whole(sample)),
    ),
    Question(
        "rare: a field of one model, two years",
        150,
        lambda sample: events(
            model="doctors.department", changed_field="is_active", actor=sample.event["actor_id"], **_whole(sample)
        ),
    ),
    Question("empty: a subject, two years", 150, lambda sample: events(subject="doctors.patient:0", **_whole(sample))),
    Question("empty: an address, two years", 150, lambda sample: events(ip="203.0.113.9", **_whole(sample))),
    Question("empty: a field, two years", 150, lambda sample: events(changed_field="no_such_field", **_whole(sample))),
    Question(
        "empty: model and action, two years",
        150,
        lambda sample: events(model="doctors.specialty", action="delete", **_whole(sample)),
    ),
    Question("text, rare", 500, lambda sample: events(q=f"ticket {sample.chance.randrange(65_536)}")),
    Question("text, frequent", 500, lambda _sample: events(q="okonkwo")),
    Question("text, two words", 500, lambda _sample: events(q="complaint nakagawa")),
    Question("text, empty", 500, lambda _sample: events(q="unheard-of")),
    Question("histogram of 30 days", None, lambda _sample: f"{BASE}stats/histogram/"),
    Question("top actors of 30 days", None, lambda _sample: f"{BASE}stats/top/?by=actor"),
    Question("feed, from the beginning", None, lambda _sample: f"{BASE}feed/?after=beginning&limit={PAGE_SIZE}"),
)


def samples(reader: psycopg.Connection[Any], history: History, *, seed: int) -> Iterator[Sample]:
    """Yield events at random times, without end; the same ones for the same seed."""
    chance = random.Random(seed)
    names = (
        "event_id",
        "occurred_at",
        "model",
        "object_pk",
        "actor_id",
        "request_id",
        "transaction_id",
        "session",
        "subjects",
    )
    while True:
        at = history.since + (history.until - history.since) * chance.random() * 0.999
        row = reader.execute(SAMPLE, [lowest_id(at)]).fetchone()
        if row is not None:
            yield Sample(dict(zip(names, row, strict=True)), history, chance)
