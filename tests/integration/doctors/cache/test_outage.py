"""A Redis that is away fails no save and no answer, and forgets what it has to once it is back."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import transaction
from django_tasks_db.models import DBTaskResult

from doctors.cache import keys
from doctors.cache.invalidator import CacheInvalidator
from doctors.cache.reading import cached
from doctors.models import Doctor
from tests.integration.doctors.cache.conftest import Redis
from tests.integration.doctors.conftest import MakeWorker

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_save_succeeds_and_the_cache_forgets_when_it_is_back(redis: Redis, make_worker: MakeWorker) -> None:
    doctor = Doctor.objects.create(first_name="Ada", last_name="Byron")
    redis.stop()
    doctor.save()
    with transaction.atomic():
        doctor.save()
    assert DBTaskResult.objects.count() == 2
    assert make_worker().run_until_idle() == 2
    assert set(DBTaskResult.objects.values_list("status", flat=True)) == {"READY"}
    redis.start()
    cache.set_many({keys.doctor(doctor.pk): "old", keys.doctor_page(1, 50): "old", "other": "kept"})
    DBTaskResult.objects.update(run_after="2026-01-01T00:00:00Z")
    assert make_worker().run_until_idle() == 2
    assert cache.get_many([keys.doctor(doctor.pk), keys.doctor_page(1, 50), "other"]) == {"other": "kept"}


def test_answers_are_computed_meanwhile(redis: Redis) -> None:
    redis.stop()
    assert cached("doctor:x", lambda: "computed") == "computed"
    redis.start()
    assert cached("doctor:x", lambda: "kept") == "kept"
    assert cached("doctor:x", lambda: "not asked") == "kept"


def test_values_are_json_and_no_pickles(redis: Redis) -> None:
    from django_redis import get_redis_connection

    cache.set("doctor:x", {"name": "Ada"})
    assert get_redis_connection("default").get(":1:doctor:x") == b'{"name": "Ada"}'


def test_patterns_are_found_by_scan_and_never_by_keys(redis: Redis) -> None:
    from django_redis import get_redis_connection

    cache.set("doctor:list:page:1:50", 1)
    CacheInvalidator(patterns=[keys.EVERY_DOCTOR_PAGE]).execute()
    commands = get_redis_connection("default").info("commandstats")
    assert "cmdstat_scan" in commands
    assert "cmdstat_keys" not in commands
