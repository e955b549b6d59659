"""Who made or ended an API key is in the audit log, whichever way it was done; the secret never is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import ProgrammingError
from django.test import Client
from django.utils import timezone

from auditlog import api_keys
from auditlog.access import grants
from auditlog.access.scopes import Scope
from auditlog.context import set_actor
from auditlog.models import AccessGrant, ApiKey
from tests.conftest import Events
from tests.integration.auditlog_api.conftest import UserOf
from tests.integration.auditlog_api.test_commands import run

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
LIST = "/admin/auditlog/apikey/"


def told(events: Events) -> list[dict[str, Any]]:
    """Return what the system stream tells of keys and grants since the last call."""
    return [one["audit"] for one in events() if one["audit"]["model"] == "auditlog.system"]


def test_a_key_that_the_command_makes_and_revokes_is_two_security_events_without_its_secret(
    user_of: UserOf, events: Events
) -> None:
    user = user_of("ada")
    with set_actor(user_of("root", is_superuser=True)):
        key = run("api_key", "create", "ada", "--name", "reporting", "--scope", "audit.read", "--reason", "ticket 7")
    prefix, _, secret = key.partition(".")
    (issued,) = told(events)
    assert (issued["action"], issued["category"], issued["reason"]) == ("api_key_issued", "security", "ticket 7")
    assert issued["data"] == {
        "api_key": {
            "prefix": prefix,
            "name": "reporting",
            "user": "ada",
            "user_id": str(user.pk),
            "scopes": ["audit.read"],
            "expires_at": None,
        }
    }
    assert issued["actor"]["repr"] == "root"
    digest = ApiKey.objects.get().secret_sha256
    assert (secret in json.dumps(issued), digest in json.dumps(issued)) == (False, False)

    run("api_key", "revoke", prefix, "--reason", "lost")
    run("api_key", "revoke", prefix, "--reason", "again")
    (revoked,) = told(events)
    assert (revoked["action"], revoked["category"], revoked["reason"]) == ("api_key_revoked", "security", "lost")
    assert revoked["data"] == issued["data"]


def test_a_key_that_cannot_be_recorded_is_neither_made_nor_revoked(
    user_of: UserOf, request: pytest.FixtureRequest
) -> None:
    user = user_of()
    key = api_keys.issue(user=user, name="test")
    request.getfixturevalue("unrecordable")
    with pytest.raises(ProgrammingError):
        api_keys.issue(user=user, name="other")
    with pytest.raises(ProgrammingError):
        api_keys.revoke(prefix=key.partition(".")[0], now=timezone.now())
    row = ApiKey.objects.get()
    assert (row.name, row.revoked_at) == ("test", None)


def test_the_admin_revokes_and_removes_keys_with_an_event_for_each(
    user_of: UserOf, client_of_root: Client, events: Events
) -> None:
    user = user_of()
    keys = [api_keys.issue(user=user, name=name) for name in ("one", "two", "three", "four")]
    ids = list(ApiKey.objects.order_by("pk").values_list("pk", flat=True))
    told(events)
    assert client_of_root.post(LIST, {"action": "revoke", "_selected_action": ids[:2]}).status_code == 302
    assert [api_keys.verify(key, now=timezone.now()) is None for key in keys] == [True, True, False, False]
    assert client_of_root.post(f"{LIST}{ids[2]}/delete/", {"post": "yes"}).status_code == 302
    many = {"action": "delete_selected", "_selected_action": [ids[0], ids[3]], "post": "yes"}
    assert client_of_root.post(LIST, many).status_code == 302
    assert list(ApiKey.objects.values_list("pk", flat=True)) == [ids[1]]
    # The first one ended when it was revoked.
    found = [(one["action"], one["actor"]["repr"], one["data"]["api_key"]["name"]) for one in told(events)]
    assert sorted(found[:2]) == [("api_key_revoked", "root", name) for name in ("one", "two")]
    assert found[2:] == [("api_key_revoked", "root", name) for name in ("three", "four")]


def test_only_who_may_change_keys_revokes_them_in_the_admin(user_of: UserOf, client: Client) -> None:
    key = api_keys.issue(user=user_of("ada"), name="test")
    clerk = user_of("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(clerk)
    client.post(LIST, {"action": "revoke", "_selected_action": [ApiKey.objects.get().pk]})
    assert api_keys.verify(key, now=timezone.now()) is not None


def test_keys_and_grants_that_go_together_with_their_holder_are_told(user_of: UserOf, events: Events) -> None:
    user = user_of("ada")
    key = api_keys.issue(user=user, name="test")
    prefix = key.partition(".")[0]
    grants.give(AccessGrant(user=user, scopes=[Scope.READ], reason="test"))
    grants.give(AccessGrant(api_key=ApiKey.objects.get(), model_names=["doctors.doctor"], reason="test"))
    told(events)
    user.delete()
    ended = [(one["action"], one["data"]) for one in told(events)]
    assert len(ended) == 3
    keys = [data["api_key"]["prefix"] for action, data in ended if action == "api_key_revoked"]
    holders = [data["grant"] for action, data in ended if action == "access_revoked"]
    assert keys == [prefix]
    assert {(one["user"], one["api_key"]) for one in holders} == {("ada", None), (None, prefix)}


@pytest.fixture
def client_of_root(user_of: UserOf, client: Client) -> Client:
    """A superuser in the admin."""
    client.force_login(user_of("root", is_superuser=True, is_staff=True))
    return client


@pytest.fixture
def client() -> Client:
    """A browser."""
    return Client()
