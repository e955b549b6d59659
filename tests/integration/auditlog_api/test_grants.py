"""Who may see what: permissions, grants of users, groups and keys, scopes of keys; each step is an event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from auditlog import api_keys
from auditlog.access import grants
from auditlog.access.rights import Rights, rights_of_user
from auditlog.access.scopes import AUDITOR_SCOPES, PERMISSIONS, Scope
from auditlog.api.authentication import ApiKeyCredential
from auditlog.models import AccessGrant, ApiKey
from tests.conftest import Events
from tests.integration.auditlog_api.conftest import Store, UserOf
from tests.integration.auditlog_api.test_commands import run

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

READ, OWN, SENSITIVE = Scope.READ, Scope.READ_OWN, Scope.READ_SENSITIVE


def give(**fields: Any) -> AccessGrant:
    """Return a new grant."""
    return grants.give(AccessGrant(reason="ticket 1", **fields))


def rights_of_key(user: Any, *, scopes: tuple[Scope, ...] = ()) -> tuple[Rights, ApiKey]:
    """Return what a new key of a user may do, and its row."""
    prefix = api_keys.issue(user=user, name="test", scopes=scopes).partition(".")[0]
    key = ApiKey.objects.get(prefix=prefix)
    return rights_of_user(user, key=ApiKeyCredential(key)), key


def test_the_auditors_permission_gives_every_event_with_every_value(user_of: UserOf) -> None:
    user = user_of()
    rights = rights_of_user(user)

    assert rights == Rights(f"user:{user.pk}", AUDITOR_SCOPES, str(user.pk))
    assert (rights.sees_everything, rights.hidden_classes) == (True, frozenset())


@pytest.mark.parametrize("scope", Scope)
def test_each_scope_has_a_permission_of_its_own(user_of: UserOf, scope: Scope) -> None:
    user = user_of(auditor=False)
    codename = PERMISSIONS[scope].partition(".")[2]
    user.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label="auditlog"))

    assert rights_of_user(user).scopes == {scope}


def test_nobody_may_anything_without_a_permission_or_a_grant_and_a_superuser_may_everything(user_of: UserOf) -> None:
    nobody, root = user_of("nobody", auditor=False), user_of("root", auditor=False, is_superuser=True)
    give(user=root, scopes=[OWN], model_names=["doctors.doctor"])

    assert rights_of_user(nobody).scopes == frozenset()
    assert (rights_of_user(root).scopes, rights_of_user(root).models) == (frozenset(Scope), None)


def test_a_grant_narrows_what_permissions_give(user_of: UserOf) -> None:
    user = user_of()
    give(user=user, model_names=["doctors.doctor"], labels=["department:3", "department:4"])

    rights = rights_of_user(user)
    assert (rights.scopes, rights.models) == (AUDITOR_SCOPES, frozenset({"doctors.doctor"}))
    assert rights.labels == {"department": frozenset({"3", "4"})}
    assert rights.label_sets == (("department:3", "department:4"),)
    assert not rights.sees_everything


def test_grants_of_a_user_and_of_their_groups_add_up_and_those_of_others_do_not_count(user_of: UserOf) -> None:
    user, other = user_of(auditor=False), user_of("other", auditor=False)
    group, strangers = Group.objects.create(name="surgery"), Group.objects.create(name="strangers")
    user.groups.add(group)
    give(user=user, scopes=[READ], labels=["department:3"])
    give(group=group, scopes=[READ], labels=["department:4"])
    give(group=strangers, scopes=[READ])
    give(user=other, scopes=[READ, Scope.ADMIN])

    rights = rights_of_user(user)
    assert (rights.scopes, rights.labels) == (frozenset({READ}), {"department": frozenset({"3", "4"})})


def test_a_key_may_do_less_than_its_user_and_never_more(user_of: UserOf) -> None:
    user = user_of()

    assert rights_of_key(user)[0].scopes == AUDITOR_SCOPES
    assert rights_of_key(user, scopes=(READ,))[0].scopes == {READ}
    assert rights_of_key(user, scopes=(OWN,))[0].scopes == {OWN}
    assert rights_of_key(user, scopes=(READ, Scope.ADMIN))[0].scopes == {READ}
    assert rights_of_key(user_of("nobody", auditor=False), scopes=(READ,))[0].scopes == frozenset()


def test_grants_of_a_key_narrow_what_its_user_may_even_a_superuser(user_of: UserOf) -> None:
    root = user_of(is_superuser=True)
    _, key = rights_of_key(root, scopes=(READ, SENSITIVE))
    give(user=root, scopes=[READ], labels=["department:3"])
    give(api_key=key, scopes=[READ, Scope.EXPORT], model_names=["doctors.doctor"])

    rights = rights_of_user(root, key=ApiKeyCredential(key))
    assert rights == Rights(f"api_key:{key.prefix}", frozenset({READ}), str(root.pk), frozenset({"doctors.doctor"}))
    assert rights_of_user(root).models is None


def test_an_inactive_user_may_nothing(user_of: UserOf) -> None:
    user = user_of(is_active=False)
    give(user=user, scopes=[READ])

    assert rights_of_user(user).scopes == frozenset()


def test_it_takes_four_statements_to_know_a_key_and_what_it_may(user_of: UserOf) -> None:
    user = user_of()
    user.groups.add(Group.objects.create(name="surgery"))
    give(user=user, scopes=[READ, SENSITIVE])
    key = api_keys.issue(user=user, name="test")

    with CaptureQueriesContext(connection) as captured:
        row = api_keys.verify(key, now=timezone.now())
        assert row is not None
        assert rights_of_user(row.user, key=ApiKeyCredential(row)).scopes == {READ, SENSITIVE}
    # The key with its user, the permissions of the user, those of their groups, the grants.
    assert len(captured) == 4


def test_granting_and_revoking_are_events_that_name_who_what_and_why(user_of: UserOf, events: Events) -> None:
    user_of("ada", auditor=False)
    events()

    run("audit_access", "grant", "--user", "ada", "--scope", READ, "--label", "department:3", "--reason", "ticket 7")
    (granted,) = events()
    described = json.loads(run("audit_access", "list", "--json"))["results"][0]
    told = {name: value for name, value in described.items() if name != "reason"}
    assert granted["audit"]["data"] == {"grant": told}
    assert told == {
        "id": AccessGrant.objects.get().pk,
        "user": "ada",
        "group": None,
        "api_key": None,
        "scopes": ["audit.read"],
        "models": [],
        "labels": ["department:3"],
    }
    summary = [granted["audit"][name] for name in ("model", "action", "category", "reason")]
    assert summary == ["auditlog.system", "access_granted", "admin", "ticket 7"]

    run("audit_access", "revoke", str(told["id"]), "--reason", "left")
    (revoked,) = events()
    assert (revoked["audit"]["action"], revoked["audit"]["reason"]) == ("access_revoked", "left")
    assert revoked["audit"]["data"] == granted["audit"]["data"]
    assert not AccessGrant.objects.exists()


def test_a_grant_and_its_event_commit_together_or_not_at_all(user_of: UserOf, events: Events) -> None:
    grant = give(user=user_of(auditor=False), scopes=[READ])
    events()

    with transaction.atomic():
        grants.take_back(grant, reason="left")
        transaction.set_rollback(True)
    assert AccessGrant.objects.exists()
    assert events() == []

    grants.take_back(grant, reason="left")
    grants.take_back(grant, reason="left")
    assert len(events()) == 1


def test_the_command_shows_what_somebody_may_see(user_of: UserOf) -> None:
    user = user_of("ada", auditor=False)
    _, key = rights_of_key(user, scopes=(READ,))
    assert run("audit_access", "list") == "There are no grants."
    grant = ["audit_access", "grant", "--reason", "ticket 7"]
    run(*grant, "--user", "ada", "--scope", READ, "--scope", SENSITIVE, "--model", "doctors.Doctor")
    run(*grant, "--api-key", key.prefix, "--label", "department:3")

    assert json.loads(run("audit_access", "show", "--api-key", key.prefix, "--json")) == {
        "principal": f"api_key:{key.prefix}",
        "scopes": ["audit.read"],
        "models": ["doctors.doctor"],
        "labels": {"department": ["3"]},
        "hidden_classes": ["confidential", "credential", "financial", "health", "sensitive"],
        "grants": json.loads(run("audit_access", "list", "--json"))["results"],
    }
    first = AccessGrant.objects.order_by("pk")[0].pk
    assert run("audit_access", "show", "--user", "ada").splitlines() == [
        "Scopes: audit.read, audit.read.sensitive",
        "Models: doctors.doctor",
        "Labels: all",
        "Hidden classes: none",
        f"Grant {first} user ada: audit.read, audit.read.sensitive, doctors.doctor (ticket 7)",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "ada", "--scope", "audit.everything"), "not a valid choice"),
        (("--user", "ada", "--scope", "audit.read", "--model", "doctors.docter"), "Not audited: doctors.docter"),
        (("--user", "ada", "--label", "3"), "Write dimension:value"),
        (("--user", "ada", "--label", "department:\n"), "Write dimension:value"),
        (("--user", "nobody"), "There is no user 'nobody'"),
        (("--group", "nobody"), "There is no group 'nobody'"),
        (("--api-key", "0123456789ab"), "There is no api key '0123456789ab'"),
        (("--user", "ada", "--group", "g"), "not allowed with"),
        ((), "one of the arguments"),
    ],
)
def test_a_grant_that_cannot_be_made_says_why(user_of: UserOf, arguments: tuple[str, ...], said: str) -> None:
    user_of("ada", auditor=False)

    with pytest.raises(CommandError, match=said):
        run("audit_access", "grant", *arguments, "--reason", "x")
    assert not AccessGrant.objects.exists()


def test_a_grant_needs_a_reason_and_a_revocation_a_grant(user_of: UserOf) -> None:
    user_of("ada", auditor=False)

    with pytest.raises(CommandError, match="--reason"):
        run("audit_access", "grant", "--user", "ada")
    with pytest.raises(CommandError, match="cannot be blank"):
        run("audit_access", "grant", "--user", "ada", "--reason", " ")
    with pytest.raises(CommandError, match="no grant 1"):
        run("audit_access", "revoke", "1", "--reason", "x")


def test_the_database_refuses_a_grant_of_nobody_or_of_two_and_an_unknown_scope(user_of: UserOf) -> None:
    user, group = user_of(), Group.objects.create(name="g")

    for fields in ({}, {"user": user, "group": group}, {"user": user, "scopes": ["root"]}):
        with pytest.raises(IntegrityError), transaction.atomic():
            AccessGrant.objects.create(reason="x", **fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.create(user=user, name="x", prefix="x", secret_sha256="x", scopes=["root"])


def test_a_key_is_made_with_scopes_that_its_user_has(user_of: UserOf) -> None:
    user_of("ada")
    made = json.loads(run("api_key", "create", "ada", "--name", "x", "--scope", OWN, "--scope", READ, "--json"))

    assert made["scopes"] == ["audit.read", "audit.read.own"]
    assert json.loads(run("api_key", "list", "--json"))["results"][0]["scopes"] == ["audit.read", "audit.read.own"]
    assert run("api_key", "list").endswith(" audit.read,audit.read.own")
    with pytest.raises(CommandError, match=r"ada does not have audit\.admin"):
        run("api_key", "create", "ada", "--name", "x", "--scope", Scope.ADMIN)
    with pytest.raises(CommandError, match="invalid choice"):
        run("api_key", "create", "ada", "--name", "x", "--scope", "root")


def test_grants_are_made_and_revoked_in_the_admin_with_their_events(user_of: UserOf, events: Events) -> None:
    root, page = user_of("root", is_superuser=True, is_staff=True), Client()
    page.force_login(root)
    events()
    add, changes = reverse("admin:auditlog_accessgrant_add"), reverse("admin:auditlog_accessgrant_changelist")

    refused = page.post(add, {"user": root.pk, "model_names": "doctors.docter", "reason": "r"})
    assert "Not audited: doctors.docter" in refused.content.decode()
    made = page.post(add, {"user": root.pk, "scopes": [READ, OWN], "labels": "department:3", "reason": "audit"})
    assert made.status_code == 302
    grant = AccessGrant.objects.get()
    assert (grant.scopes, grant.labels) == (["audit.read", "audit.read.own"], ["department:3"])
    assert "user root" in page.get(changes).content.decode()
    assert page.post(reverse("admin:auditlog_accessgrant_change", args=[grant.pk]), {"labels": ""}).status_code == 403
    page.post(changes, {"action": "delete_selected", "_selected_action": [grant.pk], "post": "yes"})

    told = [event["audit"] for event in events() if event["audit"]["model"] == "auditlog.system"]
    assert [(event["action"], event["actor"]["repr"]) for event in told] == [
        ("access_granted", "root"),
        ("access_revoked", "root"),
    ]
    assert not AccessGrant.objects.exists()


def test_a_narrowed_auditor_does_not_see_the_log_in_the_admin(user_of: UserOf, store: Store) -> None:
    user, page = user_of(is_staff=True), Client()
    page.force_login(user)
    change = reverse("admin:auditlog_auditlog_change", args=[store()])
    listing = reverse("admin:auditlog_auditlog_changelist")
    assert [page.get(path).status_code for path in (listing, change)] == [200, 200]

    for limits in ({"labels": ["department:3"]}, {"scopes": [READ]}):
        grant = give(user=user, **limits)
        assert [page.get(path).status_code for path in (listing, change)] == [403, 403]
        grants.take_back(grant, reason="x")
