"""Who gets in: sessions, API keys, the auditors' permission."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.models import ApiKey
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
PATHS = (EVENTS, f"{EVENTS}019ab0c2-7c1e-7e0a-8d1e-3b1f0d6a2c11/", "/api/audit/v1/objects/doctors.doctor/17/timeline/")


@pytest.mark.parametrize("path", PATHS)
def test_no_credentials_are_401(path: str) -> None:
    answer = APIClient().get(path)

    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Api-Key")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "https://auditlog.invalid/problems/not-authenticated",
        "title": "Not authenticated",
        "status": 401,
        "detail": "Authentication credentials were not provided.",
        "code": "not_authenticated",
        "errors": [],
        "request_id": answer["X-Request-ID"],
    }


@pytest.mark.parametrize("path", PATHS)
def test_a_caller_without_the_permission_is_403(user_of: UserOf, path: str) -> None:
    nobody = user_of("nobody", auditor=False, is_staff=True)
    with_session, with_key = APIClient(), APIClient()
    with_session.force_login(nobody)
    with_key.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=nobody, name='test')}")

    for caller in (with_session, with_key):
        answer = caller.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_session_and_a_key_of_an_auditor_get_in(user_of: UserOf, store: Store) -> None:
    event_id = store()
    user = user_of()
    with_session, with_key = APIClient(), APIClient()
    with_session.force_login(user)
    with_key.credentials(HTTP_AUTHORIZATION=f"api-key   {api_keys.issue(user=user, name='test')} ")

    for caller in (with_session, with_key):
        assert caller.get(EVENTS).json()["results"][0]["event_id"] == str(event_id)


def test_a_session_that_was_ended_is_out(user_of: UserOf) -> None:
    caller = APIClient()
    user = user_of()
    caller.force_login(user)
    assert caller.get(EVENTS).status_code == 200

    user.is_active = False
    user.save()
    assert caller.get(EVENTS).status_code == 401


@pytest.mark.parametrize(
    "flaw", ["revoked", "expired", "inactive", "other secret", "other prefix", "secret only", "twice"]
)
def test_a_key_that_is_not_good_is_401(user_of: UserOf, flaw: str) -> None:
    user = user_of()
    key = api_keys.issue(user=user, name="test", expires_at=timezone.now() if flaw == "expired" else None)
    prefix, _, secret = key.partition(".")
    if flaw == "revoked":
        assert api_keys.revoke(prefix=prefix, now=timezone.now())
    if flaw == "inactive":
        user.is_active = False
        user.save()
    sent = {
        "other secret": f"{prefix}.{secret[:-4]}AAAA",
        "other prefix": f"{'0' * 12}.{secret}",
        "secret only": secret,
        "twice": f"{key} {key}",
    }.get(flaw, key)

    answer = APIClient().get(EVENTS, headers={"authorization": f"Api-Key {sent}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert secret not in answer.content.decode()


@pytest.mark.parametrize(
    "header",
    ["\x01\xff", "Basic YTpi", "Bearer x", "Api-Key", "Api-Key \x00", "Api-Key ü.ü", "Api-Key " + "x" * 5_000, "é x"],
)
def test_another_authorization_is_401_and_not_ignored(user_of: UserOf, header: str) -> None:
    caller = APIClient()
    caller.force_login(user_of())

    answer = caller.get(EVENTS, headers={"authorization": header})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_only_a_digest_of_a_key_is_stored(user_of: UserOf) -> None:
    key = api_keys.issue(user=user_of(), name="test", expires_at=timezone.now() + timedelta(days=1))

    (row,) = ApiKey.objects.values()
    assert key.partition(".")[2] not in str(row)
    assert len(row["secret_sha256"]) == 64
    assert api_keys.verify(key, now=timezone.now()) is not None
    assert api_keys.verify(key, now=timezone.now() + timedelta(days=2)) is None
