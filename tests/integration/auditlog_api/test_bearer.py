"""Bearer tokens of an OpenID Connect issuer: which are accepted, what they allow, and what they cost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connections
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from auditlog.access import key_sets
from auditlog.access.tokens import keys_of_issuer
from tests.conftest import Events, WaitUntil
from tests.integration.auditlog_api.conftest import Store, UserOf
from tests.integration.auditlog_api.issuer import AUDIENCE, EC, ISSUER, OTHER_RSA, RSA, Issuer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

LIST = "/api/audit/v1/events/"
OIDC = {
    "issuer": ISSUER,
    "audience": AUDIENCE,
    "algorithms": ["RS256", "ES256"],
    "subject_claim": "sub",
    "name_claim": "preferred_username",
    "scopes_claim": "scope",
    "labels_claim": "",
    "leeway_seconds": 30,
    "timeout_seconds": 1,
    "pause_seconds": 30,
    "lifetime_seconds": 3_600,
}


@pytest.fixture
def issuer(settings: Any) -> Iterator[Issuer]:
    """An issuer whose tokens are accepted."""
    with Issuer() as running:
        settings.AUDITLOG_OIDC = {**OIDC, "jwks_url": running.url}
        keys_of_issuer.cache_clear()
        yield running
    keys_of_issuer.cache_clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds by which the age of keys is ahead."""
    ahead = [0.0]
    real = time.monotonic

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return real() + ahead[0]

    monkeypatch.setattr(key_sets, "time", Clock)
    return ahead


def ask(token: str, path: str = LIST) -> Any:
    """Return the answer to a caller with a token."""
    return APIClient().get(path, headers={"authorization": f"Bearer {token}"})


def test_a_token_of_the_issuer_gets_in_and_costs_no_statement_and_no_call(issuer: Issuer, store: Store) -> None:
    event_id = store()
    assert ask(issuer.token()).json()["results"][0]["event_id"] == str(event_id)
    assert issuer.asked == 1

    with CaptureQueriesContext(connections["default"]) as captured:
        assert ask(issuer.token()).status_code == 200
    assert [query["sql"] for query in captured if "auditlog_record" not in query["sql"]] == []
    assert issuer.asked == 1


def test_what_a_token_allows_is_what_it_says(issuer: Issuer, store: Store, settings: Any) -> None:
    mine, three = store(1, actor_id=f"{ISSUER}#u-17"), store(2, labels=["department:3"])
    store(3, actor_id="u-17")

    def seen(**claims: Any) -> Any:
        answer = ask(issuer.token(**claims))
        return (
            answer.status_code if answer.status_code != 200 else [row["event_id"] for row in answer.json()["results"]]
        )

    assert len(seen(scope="audit.read")) == 3
    assert seen(scope="audit.read.own") == [str(mine)]
    assert seen(scope=["audit.read.own", "profile"]) == [str(mine)]
    no_scopes: list[Any] = [None, "", "profile audit.everything", 7, {"audit.read": True}]
    assert {seen(scope=nothing) for nothing in no_scopes} == {403}

    settings.AUDITLOG_OIDC = {**settings.AUDITLOG_OIDC, "labels_claim": "departments"}
    assert seen(departments=["department:3"]) == [str(three)]
    assert seen(departments="department:3 department:4") == [str(three)]
    assert len(seen(departments=["*"])) == 3
    no_labels: list[Any] = [None, [], "", 3]
    assert {seen(departments=nothing) for nothing in no_labels} == {403}
    assert seen(departments=["department"]) == []
    # No database could be asked for such labels.
    unheard: list[Any] = [["department:3", "department:\x00"], ["*", "\ud800"], "department:3 \x00"]
    assert {seen(departments=nothing) for nothing in unheard} == {401}


def test_a_token_gives_nothing_but_the_audit_log(issuer: Issuer) -> None:
    assert ask(issuer.token(), "/api/doctors/").status_code == 403


def test_the_holder_of_a_token_is_the_actor_of_their_reads(issuer: Issuer, store: Store, events: Events) -> None:
    store()
    events()
    assert ask(issuer.token()).status_code == 200

    (read,) = [event["audit"] for event in events() if event["audit"]["model"] == "auditlog.system"]
    assert read["actor"] == {"id": f"{ISSUER}#u-17", "repr": "m.okonkwo", "type": "user", "on_behalf_of": None}


def test_no_two_holders_have_one_name_in_what_is_told_of_their_reads(issuer: Issuer, events: Events) -> None:
    events()
    for end in "ab":
        assert ask(issuer.token(sub="x" * 254 + end)).status_code == 200
    told = [event["audit"] for event in events() if event["audit"]["model"] == "auditlog.system"]
    principals = [f"oidc:{ISSUER}#{'x' * 254}{end}" for end in "ab"]
    assert [audit["data"]["principal"] for audit in told] == principals


def refused_tokens(issuer: Issuer) -> dict[str, str]:
    """Return tokens that are to be refused, by what is wrong with them."""
    now = int(time.time())
    good = issuer.token()
    head, payload, signature = good.split(".")
    changed = base64.urlsafe_b64decode(payload + "==").replace(b"u-17", b"u-18")
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def by_hand(header: dict[str, Any], sign: bytes = b"") -> str:
        signed = f"{encoded(json.dumps(header).encode())}.{payload}"
        made = hmac.digest(sign, signed.encode(), hashlib.sha256) if sign else b""
        return f"{signed}.{encoded(made)}"

    return {
        "alg none": by_hand({"alg": "none", "kid": "one", "typ": "JWT"}),
        "alg none, in capitals": by_hand({"alg": "NONE", "kid": "one"}),
        "HS256 with the public key": by_hand({"alg": "HS256", "kid": "one"}, public),
        "RS256 with an HMAC of the public key": by_hand({"alg": "RS256", "kid": "one"}, public),
        "an algorithm that is not allowed": issuer.token(algorithm="RS512"),
        "no algorithm": by_hand({"kid": "one"}),
        "another audience": issuer.token(aud="other"),
        "no audience": issuer.token(aud=None),
        "another issuer": issuer.token(iss=f"{ISSUER}/"),
        "no issuer": issuer.token(iss=None),
        "expired": issuer.token(exp=now - 31),
        "without an end": issuer.token(exp=None),
        "not yet": issuer.token(nbf=now + 60),
        "from the future": issuer.token(iat=now + 60),
        "no subject": issuer.token(sub=None),
        "an empty subject": issuer.token(sub=""),
        "another key of the same name": issuer.token(key=OTHER_RSA),
        "its own key in the header": issuer.token(
            kid="two", key=OTHER_RSA, header={"jwk": {"kty": "RSA"}, "jku": f"{issuer.url}?evil"}
        ),
        "a path as the key's name": issuer.token(kid="../../../dev/null"),
        "SQL as the key's name": issuer.token(kid="one' OR '1'='1"),
        "no key's name": issuer.token(kid=None),
        "a long key's name": issuer.token(kid="x" * 201),
        "a logout token": issuer.token(header={"typ": "logout+jwt"}),
        "a critical header": issuer.token(header={"crit": ["exp"], "exp": 1}),
        "huge": issuer.token(scope="audit.read " * 1_000),
        "a signature cut off": f"{head}.{payload}.",
        "a changed payload": f"{head}.{encoded(changed)}.{signature}",
        "two parts": f"{head}.{payload}",
        "nothing": "",
        "no base64": "ä.ö.ü",
        "deep JSON": f"{encoded(b'[' * 5_000)}.{payload}.{signature}",
        "a list as header": f"{encoded(b'[]')}.{payload}.{signature}",
    }


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_token_that_is_not_good_is_401_whatever_is_wrong_with_it(issuer: Issuer) -> None:
    for flaw, token in refused_tokens(issuer).items():
        answer = ask(token)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated"), flaw
        assert answer["WWW-Authenticate"] == "Api-Key, Bearer"
    # However many names of keys were made up.
    assert issuer.asked <= 2


@pytest.mark.parametrize("claim", [{"sub": "u\x0017"}, {"sub": "\ud800"}, {"scope": "audit.read \x00"}])
def test_a_token_that_says_what_no_database_could_hold_is_401(issuer: Issuer, claim: dict[str, str]) -> None:
    assert ask(issuer.token(**{"scope": "audit.read.own", **claim})).status_code == 401


def test_a_little_difference_of_clocks_is_forgiven(issuer: Issuer) -> None:
    now = int(time.time())
    assert ask(issuer.token(exp=now - 20, nbf=now + 20, iat=now + 20)).status_code == 200


def test_a_new_key_is_found_and_unknown_ones_are_asked_for_at_most_every_thirty_seconds(
    issuer: Issuer, clock: list[float]
) -> None:
    assert ask(issuer.token()).status_code == 200
    issuer.keys["two"] = EC
    new = issuer.token(kid="two", algorithm="ES256")

    assert ask(new).status_code == 401
    assert issuer.asked == 1
    clock[0] += 31
    assert ask(new).status_code == 200
    for number in range(5):
        assert ask(issuer.token(kid=f"made up {number}")).status_code == 401
    assert issuer.asked == 2


def test_a_key_that_was_taken_back_is_forgotten_beside_the_requests(
    issuer: Issuer, clock: list[float], wait_until: WaitUntil
) -> None:
    old = issuer.token()
    assert ask(old).status_code == 200
    issuer.keys = {"two": OTHER_RSA}

    clock[0] += 3_601
    assert ask(old).status_code == 200
    wait_until(lambda: ask(old).status_code == 401)
    assert issuer.asked == 2


def test_an_issuer_that_fails_is_503_only_while_no_key_is_at_hand(issuer: Issuer, clock: list[float]) -> None:
    for status, body in ((500, None), (302, None), (200, b"{}"), (200, b"no JSON"), (200, b" " * 300_000)):
        issuer.status, issuer.body = status, body
        answer = ask(issuer.token())
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), (status, body)
        clock[0] += 31
    assert issuer.asked == 5

    issuer.status, issuer.body = 200, None
    assert ask(issuer.token()).status_code == 200
    issuer.status = 500
    clock[0] += 4_000
    assert ask(issuer.token()).status_code == 200
    assert ask(issuer.token(kid="two")).status_code == 401


def test_an_issuer_that_is_not_there_is_503(issuer: Issuer, settings: Any) -> None:
    settings.AUDITLOG_OIDC = {**settings.AUDITLOG_OIDC, "jwks_url": "http://127.0.0.1:1/"}

    assert ask(issuer.token()).status_code == 503


def test_keys_that_are_no_good_are_left_out() -> None:
    weak = rsa.generate_private_key(65_537, 1_024)
    with Issuer() as issuer:
        issuer.keys = {"weak": weak, "good": RSA}
        members = json.loads(issuer.document())["keys"]
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"}
    encrypting = {**members[1], "kid": "encrypting", "use": "enc"}
    other = {**members[1], "kid": "other", "alg": "RS512"}
    document = {"keys": [*members, secret, encrypting, other, {"kid": "x"}, "x", {**members[1], "kid": 7}]}

    assert {name: set(keys) for name, keys in key_sets.keys_of(document, ["RS256"]).items()} == {"good": {"RS256"}}
    unfit: list[Any] = [{}, [], {"keys": {}}, {"keys": [secret]}]
    for nothing in unfit:
        with pytest.raises(ValueError, match="no JWKS"):
            key_sets.keys_of(nothing, ["RS256"])


def test_without_an_issuer_bearer_tokens_are_refused_and_not_ignored(
    user_of: UserOf, issuer: Issuer, settings: Any
) -> None:
    settings.AUDITLOG_OIDC = None
    caller = APIClient()
    caller.force_login(user_of())

    answer = caller.get(LIST, headers={"authorization": f"Bearer {issuer.token()}"})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Api-Key")
