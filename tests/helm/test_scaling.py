"""What KEDA asks the outbox: true, with the rights of the relay, and by an index."""

from __future__ import annotations

import json
import re

import pytest

from auditlog.roles import Role
from tests.conftest import ConnectAs
from tests.helm.rendering import rendered
from tests.samples.models import Genre

pytestmark = pytest.mark.django_db(transaction=True)

(TRIGGER,) = rendered("production").one("ScaledObject", "relay")["spec"]["triggers"]
QUERY: bytes = TRIGGER["metadata"]["query"].encode()


def test_the_age_of_the_oldest_event_that_can_be_published_is_found(connect_as: ConnectAs) -> None:
    relay, owner = connect_as(Role.RELAY), connect_as(Role.OWNER)
    assert relay.execute(QUERY).fetchone() == (0,)
    for name in ("parked", "oldest", "newest"):
        Genre.objects.create(name=name)
    Genre.objects.filter(name="parked").update(name="held")
    ids = [number for (number,) in owner.execute("SELECT id FROM auditlog_outboxevent ORDER BY id")]
    ages = ((900, True), (300, False), (5, False), (800, False))
    for number, (seconds, is_parked) in zip(ids, ages, strict=True):
        owner.execute(
            "UPDATE auditlog_outboxevent SET occurred_at = clock_timestamp() - make_interval(secs => %s),"
            " parked_at = CASE WHEN %s THEN now() END WHERE id = %s",
            [seconds, is_parked, number],
        )
    (age,) = relay.execute(QUERY).fetchone() or (None,)
    assert isinstance(age, float)
    assert 300 <= age < 800


def test_the_question_is_answered_by_indexes(connect_as: ConnectAs) -> None:
    owner = connect_as(Role.OWNER)
    owner.execute("SET enable_seqscan = off")
    owner.execute("SET enable_bitmapscan = off")
    (plan,) = owner.execute(b"EXPLAIN (FORMAT JSON) " + QUERY).fetchone() or (None,)
    used = set(re.findall(r'"Index Name": "(\w+)"', json.dumps(plan)))
    assert used == {"auditlog_outboxevent_pkey", "auditlog_outboxevent_parked"}
