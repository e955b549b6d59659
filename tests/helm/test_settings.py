"""Each setting of the service has a value of the chart, with the reference's default, where a process reads it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.helm.rendering import Rendered, changed, render, rendered
from tests.unit.docs.documents import CODE, reference

PROCESSES = ("api", "relay", "consumer", "reconciler", "worker")
# What the chart sets nowhere, and why.
NOT_SET = {
    "API_WORKERS": "one process in each pod, and more pods",
    "AUDIT_DATABASE_OWNER_URL": "the owner's pods have its address as AUDIT_DATABASE_URL",
    "DATABASE_OWNER_URL": "the owner's pods have its address as DATABASE_URL",
    "DEVSTACK_DATA_DIR": "of a developer's machine",
    "EMAIL_DIR": "of a developer's machine",
    "LOG_FORMAT": "JSON",
    "RELAY_DATABASE_URL": "the relay has pods of its own",
    "RELAY_EMBEDDED": "the relay has pods of its own",
}
# Where the chart's default is another than the service's.
OTHERWISE = {
    "API_METRICS_PORT": "9464",
    "EMAIL_PORT": "587",
    "EMAIL_SECURITY": "starttls",
    "KAFKA_TOPIC_REPLICATION_FACTOR": "3",
    "MEDIA_ROOT": "/var/lib/auditlog/media",
}
EVERY, DOMAIN = set(PROCESSES), {"api", "worker"}
# The value, what it is set to, the variable that it becomes, and the processes that are told.
SETTABLE: list[tuple[str, Any, str, set[str]]] = [
    ("django.hstsSeconds", 63072000, "DJANGO_SECURE_HSTS_SECONDS", EVERY),
    ("django.requestLogPercent", 5, "REQUEST_LOG_PERCENT", EVERY),
    ("django.requestIdHeader", "X-Correlation-ID", "AUDITLOG_CID_HEADER", EVERY),
    ("django.maxBodyBytes", 5000000, "DATA_UPLOAD_MAX_MEMORY_BYTES", EVERY),
    ("capture.source", "/hospital", "AUDITLOG_CE_SOURCE", EVERY),
    ("capture.largeValueBytes", 3000000, "AUDITLOG_LARGE_VALUE_BYTES", EVERY),
    ("capture.largeEventBytes", 9000000, "AUDITLOG_LARGE_EVENT_BYTES", EVERY),
    ("tracing.endpoint", "http://collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT", EVERY),
    ("tracing.sampleRatio", 0.25, "OTEL_TRACES_SAMPLER_ARG", EVERY),
    ("oidc.algorithms", ["ES256", "EdDSA"], "AUDIT_OIDC_ALGORITHMS", EVERY),
    ("oidc.subjectClaim", "uid", "AUDIT_OIDC_SUBJECT_CLAIM", EVERY),
    ("oidc.nameClaim", "name", "AUDIT_OIDC_NAME_CLAIM", EVERY),
    ("oidc.scopesClaim", "roles", "AUDIT_OIDC_SCOPES_CLAIM", EVERY),
    ("oidc.leewaySeconds", 31, "AUDIT_OIDC_LEEWAY_SECONDS", EVERY),
    ("oidc.timeoutSeconds", 4, "AUDIT_OIDC_TIMEOUT_SECONDS", EVERY),
    ("oidc.refetchSeconds", 32, "AUDIT_OIDC_REFETCH_SECONDS", EVERY),
    ("oidc.keysSeconds", 33333, "AUDIT_OIDC_KEYS_SECONDS", EVERY),
    ("database.connectTimeoutSeconds", 6, "DATABASE_CONNECT_TIMEOUT_SECONDS", EVERY),
    ("database.answerSeconds", 31, "DATABASE_ANSWER_SECONDS", EVERY),
    ("database.connectionSeconds", 61, "DATABASE_CONN_MAX_AGE_SECONDS", EVERY),
    ("kafka.topicMinInsyncReplicas", 2, "KAFKA_TOPIC_MIN_INSYNC_REPLICAS", EVERY),
    ("kafka.topicMaxMessageBytes", 10000000, "KAFKA_TOPIC_MAX_MESSAGE_BYTES", EVERY),
    ("kafka.topicRetentionDays", 400, "KAFKA_TOPIC_RETENTION_DAYS", EVERY),
    ("readModel.partitionMonthsAhead", 5, "AUDITLOG_PARTITION_MONTHS_AHEAD", EVERY),
    ("cache.seconds", 60, "CACHE_SECONDS", DOMAIN),
    ("mail.timeoutSeconds", 20, "EMAIL_TIMEOUT_SECONDS", DOMAIN),
    ("directory.timeoutSeconds", 7, "DIRECTORY_TIMEOUT_SECONDS", DOMAIN),
    ("auditApi.cursorSeconds", 2592000, "AUDITLOG_CURSOR_SECONDS", {"api"}),
    ("auditApi.answerStepSeconds", 0.25, "AUDITLOG_ANSWER_STEP_SECONDS", {"api"}),
    ("auditApi.defaultWindowDays", 90, "AUDITLOG_DEFAULT_WINDOW_DAYS", {"api"}),
    ("api.threads", 16, "API_THREADS", {"api"}),
    ("api.feedWaits", 12, "API_FEED_WAITS", {"api"}),
    ("relay.batchRows", 5000, "RELAY_BATCH_ROWS", {"relay"}),
    ("relay.batchBytes", 32000000, "RELAY_BATCH_BYTES", {"relay"}),
    ("relay.leaseSeconds", 20, "RELAY_LEASE_SECONDS", {"relay"}),
    ("relay.pollMaxMilliseconds", 500, "RELAY_POLL_MAX_MILLISECONDS", {"relay"}),
    ("relay.ledgerDays", 90, "OUTBOX_LEDGER_DAYS", {"relay"}),
    ("consumer.batchRows", 3000, "CONSUMER_BATCH_ROWS", {"consumer"}),
    ("consumer.batchMilliseconds", 40, "CONSUMER_BATCH_MILLISECONDS", {"consumer"}),
    ("worker.pollMilliseconds", 100, "WORKER_POLL_MILLISECONDS", {"worker"}),
    ("worker.attempts", 13, "WORKER_ATTEMPTS", {"worker"}),
    ("worker.firstRetrySeconds", 6, "WORKER_FIRST_RETRY_SECONDS", {"worker"}),
    ("worker.longestRetrySeconds", 7200, "WORKER_LONGEST_RETRY_SECONDS", {"worker"}),
    ("worker.keepDays", 14, "WORKER_KEEP_DAYS", {"worker"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def everything_set() -> Rendered:
    """Everything on, and each setting another than its default."""
    # Not by `config`, which wins.
    changes = {path: value for path, value, _, _ in SETTABLE} | {"config": {}}
    return render(changed("production", changes))


@pytest.mark.parametrize(("path", "value", "variable", "told"), SETTABLE, ids=[path for path, *_ in SETTABLE])
def test_a_setting_reaches_the_processes_that_read_it(
    everything_set: Rendered, path: str, value: Any, variable: str, told: set[str]
) -> None:
    found = {name: everything_set.environment("Deployment", name).get(variable) for name in PROCESSES}
    expected = ",".join(value) if isinstance(value, list) else str(value)
    assert found == {name: expected if name in told else None for name in PROCESSES}


def test_every_setting_of_the_service_is_a_value_of_the_chart() -> None:
    named = {"consumer.staticMembership": {"enabled": True, "sessionTimeoutSeconds": 60}}
    pods = [*rendered("production").pods().values(), *render(changed("production", named)).pods().values()]
    given = {entry["name"] for pod in pods for entry in pod["spec"]["containers"][0]["env"]}
    assert reference("configuration").first_column("Environment variables") - given == NOT_SET.keys()


def test_what_is_not_set_has_the_default_that_the_reference_says() -> None:
    documented = {CODE.findall(row[0])[0]: row[1] for row in reference("configuration").rows("Environment variables")}
    # Everything on but by `config`; what has no default was given.
    shown = render(changed("production", {"config": {}, "kafka.topicPartitions": 6, "consumer.keda.maxReplicas": 6}))
    found = {
        name: (value, default[1])
        for process in PROCESSES
        for name, value in shown.environment("Deployment", process).items()
        if isinstance(value, str) and (default := re.match(r"`([^`]+)`", documented.get(name, "")))
    }
    assert len(found) > 50
    given = {"AUDITLOG_TRUSTED_PROXIES", "AUDITLOG_TRACING", "DEFAULT_FROM_EMAIL", "DJANGO_CSRF_TRUSTED_ORIGINS",
             "KAFKA_SECURITY_PROTOCOL"}  # fmt: skip
    assert {
        name: value for name, (value, default) in found.items() if value != default and name not in given
    } == OTHERWISE


def test_secrets_among_the_settings_come_out_of_secrets() -> None:
    shown = rendered("production")
    assert shown.secret_of("Deployment", "relay", "RELAY_LISTEN_URL") == ("auditlog-database", "relay-listen-url")
    assert "RELAY_LISTEN_URL" not in shown.environment("Deployment", "api")
    for process in ("relay", "consumer"):
        assert shown.secret_of("Deployment", process, "KAFKA_SSL_KEY_PASSWORD") == ("auditlog-kafka-tls", "password")
    targets = shown.one("TriggerAuthentication", "consumer")["spec"]["secretTargetRef"]
    assert {"parameter": "keyPassword", "name": "auditlog-kafka-tls", "key": "password"} in targets


def test_a_large_number_is_written_with_all_its_digits() -> None:
    million = 1_000_000
    shown = render(changed("production", {
        "reconciler.everySeconds": million, "migrations.lockTimeoutSeconds": million,
        "consumer.keda.lagThreshold": million, "consumer.keda.activationLagThreshold": million,
        "relay.keda.oldestEventSeconds": million,
        "auditApi.rateLimit": {"seconds": 60, "tokens": million, "anonymousTokens": million},
    }))  # fmt: skip
    told = [pod["spec"]["containers"][0] for pod in shown.pods().values()] + [
        manifest["spec"]["triggers"] for manifest in shown.of_kind("ScaledObject")
    ]
    text = json.dumps(told)
    assert re.findall(r'"[0-9.]+e\+[0-9]+"', text) == []
    # The rates, the thresholds of both triggers, the two arguments, and nothing else.
    assert text.count('"1000000"') == 7
