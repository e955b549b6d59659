"""Credentials of the pods: from Secrets, each with the role of its own, and never in plain."""

from __future__ import annotations

import json
import re

import pytest

from tests.helm.rendering import SHAPES, Manifest, rendered

SECRET_WORDS = re.compile(r"password|secret|token|_key\b|postgres://", re.IGNORECASE)
PUBLIC = {"KAFKA_SSL_KEY_LOCATION", "AUDITLOG_RATE_LIMIT_TOKENS", "AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS"}
PODS = [(shape, name) for shape in SHAPES for name in rendered(shape).pods()]


def pod(shape: str, name: str) -> Manifest:
    found: Manifest = rendered(shape).pods()[name]["spec"]
    return found


@pytest.mark.parametrize(("shape", "name"), PODS)
def test_no_credential_stands_in_a_pod(shape: str, name: str) -> None:
    for entry in pod(shape, name)["containers"][0]["env"]:
        if SECRET_WORDS.search(entry["name"]) or SECRET_WORDS.search(entry.get("value", "")):
            assert entry["name"] in PUBLIC or entry["valueFrom"]["secretKeyRef"]["name"], entry["name"]
    names = [entry["name"] for entry in pod(shape, name)["containers"][0]["env"]]
    assert len(set(names)) == len(names)
    assert {"DJANGO_SECRET_KEY", "DATABASE_URL"} <= set(names)


@pytest.mark.parametrize("shape", ["production", "restricted"])
def test_with_existing_secrets_the_chart_makes_none(shape: str) -> None:
    assert rendered(shape).of_kind("Secret") == []
    assert "postgres://" not in json.dumps(rendered(shape).manifests)
    assert "credentials were given in plain values" not in rendered(shape).notes


def test_values_in_plain_are_in_a_secret_a_copy_is_there_before_the_migrations_and_the_notes_warn() -> None:
    shown = rendered("smallest")
    inline, early = shown.of_kind("Secret")
    assert (inline["metadata"]["name"], early["metadata"]["name"]) == (
        "demo-auditlog-inline",
        "demo-auditlog-inline-hook",
    )
    assert "annotations" not in inline["metadata"]
    migrations = shown.one("Job", "migrations")["metadata"]["annotations"]
    assert early["metadata"]["annotations"]["helm.sh/hook"] == migrations["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(early["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(migrations["helm.sh/hook-weight"])
    assert shown.secret_of("Job", "migrations", "DATABASE_URL") == ("demo-auditlog-inline-hook", "database-owner")
    assert shown.secret_of("Deployment", "relay", "DATABASE_URL") == ("demo-auditlog-inline", "database-relay")
    for name in ("demo-auditlog-inline-hook", "demo-auditlog-inline"):
        assert {"database-owner", "django-secret-key"} <= next(
            s["data"].keys() for s in shown.of_kind("Secret") if s["metadata"]["name"] == name
        )
    assert "credentials were given in plain values" in shown.notes


ROLES = {
    "Deployment/api": ("app", "reader"),
    "Deployment/relay": ("relay", None),
    "Deployment/consumer": ("consumer", "consumer"),
    "Deployment/worker": ("app", "reader"),
    "Deployment/reconciler": ("reader", "consumer"),
    "Job/migrations": ("owner", "owner"),
    "Job/topics": ("relay", None),
    "CronJob/partitions": ("owner", "owner"),
    "CronJob/rollups": ("owner", "owner"),
    "CronJob/reconcile": ("reader", "reader"),
    "CronJob/bypass": ("app", "reader"),
    "Pod/test": ("app", "reader"),
}


@pytest.mark.parametrize("workload", ROLES)
def test_every_workload_has_the_role_of_its_own_on_each_database(workload: str) -> None:
    kind, name = workload.split("/")
    domain, audit = ROLES[workload]
    shown = rendered("production")
    # The consumer knows nothing of the domain's database.
    secret = "auditlog-read-model" if name == "consumer" else "auditlog-database"
    assert shown.secret_of(kind, name, "DATABASE_URL") == (secret, f"{domain}-url")
    if audit is None:
        assert "AUDIT_DATABASE_URL" not in shown.environment(kind, name)
    else:
        assert shown.secret_of(kind, name, "AUDIT_DATABASE_URL") == ("auditlog-read-model", f"{audit}-url")


def test_with_one_database_both_addresses_come_from_its_secret() -> None:
    shown = rendered("restricted")
    assert shown.secret_of("Deployment", "api", "AUDIT_DATABASE_URL") == ("auditlog-database", "reader-url")
    assert shown.secret_of("Deployment", "consumer", "DATABASE_URL") == ("auditlog-database", "consumer-url")


def test_only_the_domains_processes_know_cache_mail_and_directory() -> None:
    wanted = {"CACHE_URL", "EMAIL_HOST_PASSWORD", "DIRECTORY_URL", "DIRECTORY_TOKEN"}
    for workload, (role, _) in ROLES.items():
        known = rendered("production").environment(*workload.split("/")).keys() & wanted
        assert known == (wanted if role == "app" else set()), workload


def test_only_who_speaks_to_kafka_has_its_certificates() -> None:
    with_them = {
        name for name, shown in rendered("production").pods().items()
        if any(volume["name"] == "kafka" for volume in shown["spec"]["volumes"])
    }  # fmt: skip
    assert with_them == {
        "Deployment/demo-auditlog-relay", "Deployment/demo-auditlog-consumer", "Job/demo-auditlog-topics"
    }  # fmt: skip
