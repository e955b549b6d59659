"""Whose bearer tokens are accepted, out of the environment, and what does not go together."""

from __future__ import annotations

import pytest

from settings import access
from settings.env import Environment

ISSUER = {
    "AUDIT_OIDC_ISSUER": "https://id.example.org",
    "AUDIT_OIDC_AUDIENCE": "auditlog",
    "AUDIT_OIDC_JWKS_URL": "https://id.example.org/keys",
}


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The environment of production, without variables."""
    made = Environment()
    made.production = True
    monkeypatch.setattr(access, "env", made)
    return made


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_no_issuer_means_no_bearer_tokens(env: Environment) -> None:
    assert access._issuer() is None
    assert env.problems == {}


def test_an_issuer_is_accepted_with_asymmetric_signatures_only(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, **ISSUER)
    found = access._issuer()
    assert found is not None
    assert (found["issuer"], found["audience"], found["jwks_url"]) == tuple(ISSUER.values())
    assert (found["algorithms"], found["leeway_seconds"], env.problems) == (["RS256", "ES256"], 30, {})

    for refused in ("HS256", "none", "RS256,HS512"):
        given(monkeypatch, AUDIT_OIDC_ALGORITHMS=refused)
        access._issuer()
        assert "not " in env.problems.pop("AUDIT_OIDC_ALGORITHMS"), refused


def test_what_an_issuer_needs_is_named_at_once(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, AUDIT_OIDC_ISSUER=ISSUER["AUDIT_OIDC_ISSUER"])
    access._issuer()
    assert env.problems.keys() == {"AUDIT_OIDC_AUDIENCE", "AUDIT_OIDC_JWKS_URL"}


def test_keys_are_fetched_over_tls_in_production(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **{**ISSUER, "AUDIT_OIDC_JWKS_URL": "http://id.example.org/keys"})
    access._issuer()
    assert env.problems == {"AUDIT_OIDC_JWKS_URL": "must look like https://id.example.org/jwks.json"}

    env.production = False
    env.problems.clear()
    access._issuer()
    assert env.problems == {}
