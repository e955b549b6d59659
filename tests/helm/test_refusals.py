"""Values that cannot work end with a sentence that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from helm import generate
from tests.helm.rendering import CHART, HelmError, changed, render

JOB = {"args": ["audit_reconcile"], "schedule": "@daily", "database": "reader", "audit": "reader"}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("smallest", {"image.repository": ""}, "image.repository is empty"),
    ("smallest", {"kafka.bootstrapServers": ""}, "kafka.bootstrapServers is empty"),
    ("smallest", {"django.existingSecret": "x"}, "django.existingSecret and django.secretKey are both set"),
    ("smallest", {"django.secretKey": ""}, "django.existingSecret is empty"),
    ("smallest", {"database.existingSecret": "x"}, "database.existingSecret and database.urls are both set"),
    ("restricted", {"database.existingSecret": ""}, "database.existingSecret is empty"),
    ("smallest", {"database.urls": {"app": "postgres://a@b/c"}}, "database.urls.relay is missing"),
    ("smallest", {"auditDatabase.urls": {"reader": "postgres://a@b/c"}}, "auditDatabase.urls.consumer is missing"),
    ("production", {"auditDatabase.urls": {"reader": "x"}}, "auditDatabase.existingSecret and auditDatabase.urls"),
    ("production", {"kafka.saslMechanism": ""}, "kafka.saslMechanism is empty"),
    ("production", {"kafka.existingSecret": ""}, "kafka.existingSecret is empty"),
    ("production", {"kafka.password": "x"}, "kafka.existingSecret and kafka.username or kafka.password are both set"),
    ("production", {"kafka.securityProtocol": "SSL"}, "kafka has credentials"),
    ("restricted", {"kafka.securityProtocol": "PLAINTEXT"}, "kafka.tls.existingSecret is set"),
    ("production", {"api.pdb": {"minAvailable": 1}}, "api.pdb.minAvailable and api.pdb.maxUnavailable are both set"),
    ("production", {"relay.pdb": {"maxUnavailable": None}}, "relay.pdb has neither"),
    ("smallest", {"api.gracefulSeconds": 40}, "api.terminationGracePeriodSeconds must be more"),
    ("smallest", {"relay.drainSeconds": 45}, "relay.terminationGracePeriodSeconds must be more"),
    ("production", {"api.autoscaling.maxReplicas": 1}, "api.autoscaling.minReplicas is more"),
    ("production", {"consumer.keda.maxReplicas": 25}, "consumer.keda.maxReplicas is more than kafka.topicPartitions"),
    (
        "smallest",
        {"extraCronJobs": {"relay": JOB}},
        "extraCronJobs.relay has the name of a workload",
    ),
    ("smallest", {"oidc.issuer": "https://id.example.org"}, "set oidc.audience and oidc.jwksUrl too"),
    ("smallest", {"tracing": {"enabled": True}}, "tracing.endpoint is empty: name the collector"),
    ("smallest", {"database.keys": {"relayListen": "x"}}, "database.keys.relayListen names a key"),
    ("production", {"kafka.tls.privateKeyKey": ""}, "kafka.tls.privateKeyPasswordKey is set, and"),
    ("production", {"mail.host": ""}, "mail.existingSecret is set and mail.host is empty"),
    ("smallest", {"ports.http": 9464}, "ports.http and ports.metrics are the same"),
    ("production", {"api.ingress.hosts": []}, "api.ingress.hosts is empty"),
    ("production", {"api.httpRoute.parentRefs": []}, "api.httpRoute needs parentRefs"),
    ("smallest", {"monitoring": {"prometheusRule": {"disabled": ["AuditGone"]}}}, "names AuditGone"),
]


@pytest.mark.parametrize(("shape", "changes", "sentence"), REFUSED, ids=[sentence for _, _, sentence in REFUSED])
def test_what_cannot_work_is_refused_with_a_sentence(shape: str, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HelmError) as refusal:
        render(changed(shape, changes))
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "value"), [("relay.shards", 8), ("broker.address", "a"), ("sidecar", {"enabled": True})]
)
def test_a_value_that_was_removed_is_refused_with_what_to_write_instead(tmp_path: Path, path: str, value: Any) -> None:
    chart = tmp_path / "auditlog"
    shutil.copytree(CHART, chart)
    assert render(changed("smallest", {}), chart=chart).manifests
    (chart / "files" / "removed.yaml").write_text(f"{path}: set other.value\n", encoding="utf-8")
    (chart / "values.schema.json").write_text(generate.schema(chart), encoding="utf-8")
    assert render(changed("smallest", {}), chart=chart).manifests
    with pytest.raises(HelmError) as refusal:
        render(changed("smallest", {path: value}), chart=chart)
    assert f"{path} was removed from the chart: set other.value. See UPGRADING.md." in str(refusal.value)
