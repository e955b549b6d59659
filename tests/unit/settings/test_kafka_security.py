"""What the variables of the connection to Kafka become, and which of them do not go together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from settings import kafka_security
from settings.env import Environment
from settings.kafka_security import security

SASL = {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "relay", "KAFKA_SASL_PASSWORD": "hunter2"}
CERTIFICATE = {"KAFKA_SSL_CERTIFICATE_LOCATION": "/c.pem", "KAFKA_SSL_KEY_LOCATION": "/k.pem"}


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """An environment of the test's own."""
    made = Environment()
    monkeypatch.setattr(kafka_security, "env", made)
    yield made
    assert "hunter2" not in str(made.problems)


def given(monkeypatch: pytest.MonkeyPatch, protocol: str, **variables: str) -> dict[str, str]:
    """Return the properties that these variables give."""
    for name, value in {"KAFKA_SECURITY_PROTOCOL": protocol, **variables}.items():
        monkeypatch.setenv(name, value)
    return security()


def test_a_password_over_tls_is_passed_on_with_everything_verified(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.production = True
    assert given(monkeypatch, "SASL_SSL", **SASL, KAFKA_SSL_CA_LOCATION="/ca.pem") == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "relay",
        "sasl.password": "hunter2",
        "ssl.ca.location": "/ca.pem",
        "enable.ssl.certificate.verification": "true",
        "ssl.endpoint.identification.algorithm": "https",
    }
    assert env.problems == {}


def test_without_security_nothing_is_passed_on(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, "plaintext") == {"security.protocol": "PLAINTEXT"}
    assert env.problems == {}


@pytest.mark.parametrize(
    ("protocol", "variables", "problems"),
    [
        ("SASL_SSL", {}, {"KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}),
        ("SASL_SSL", SASL | {"KAFKA_SASL_PASSWORD": " "}, {"KAFKA_SASL_PASSWORD"}),
        ("SASL_SSL", SASL | {"KAFKA_SASL_MECHANISM": "ROT13"}, {"KAFKA_SASL_MECHANISM"}),
        ("SSL", SASL, set(SASL)),
        ("PLAINTEXT", SASL, set(SASL)),
        ("PLAINTEXT", {"KAFKA_SSL_CA_LOCATION": "/ca.pem"}, {"KAFKA_SSL_CA_LOCATION"}),
        ("SASL_PLAINTEXT", SASL | CERTIFICATE, set(CERTIFICATE)),
        ("SSL", {"KAFKA_SSL_KEY_LOCATION": "/k.pem"}, {"KAFKA_SSL_CERTIFICATE_LOCATION"}),
        ("SSL", {"KAFKA_SSL_CERTIFICATE_LOCATION": "/c.pem"}, {"KAFKA_SSL_KEY_LOCATION"}),
        ("SSL", {"KAFKA_SSL_KEY_PASSWORD": "hunter2"}, {"KAFKA_SSL_KEY_LOCATION"}),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(
    env: Environment,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    variables: dict[str, str],
    problems: set[str],
) -> None:
    given(monkeypatch, protocol, **variables)
    assert set(env.problems) == problems


def test_a_password_in_the_clear_is_for_trials_only(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "SASL_PLAINTEXT", **SASL)
    assert env.problems == {}
    env.production = True
    security()
    assert env.problems == {
        "KAFKA_SECURITY_PROTOCOL": "would send the password and every event in the clear: use SASL_SSL"
    }
