"""What replaces pods and how: a change of what they read, and consumers that keep their names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.helm.rendering import Manifest, Rendered, changed, render, rendered
from tests.helm.schemas import problems, supported_versions

SITE: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "site"}, "data": {"A": "1"}}
TOPIC: Manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"}, "spec": {"clusterIP": "None"}}
TWO = """
apiVersion: v1
kind: Secret
metadata: {{name: one}}
stringData: {{A: {value}}}
---
apiVersion: v1
kind: Service
metadata: {{name: two}}
spec: {{clusterIP: None}}
"""


def checksums(shown: Rendered, kind: str) -> dict[str, str]:
    """Return a checksum of every pod but that of `helm test`, which is no workload."""
    pods = shown.pods().items()
    return {
        name: pod["metadata"]["annotations"][f"checksum/{kind}"] for name, pod in pods if not name.startswith("Pod/")
    }


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("secret", {}, {"django.secretKey": "another"}),
        ("secret", {}, {"pods.secretsRevision": "2"}),
        ("secret", {}, {"pods.secretsRevision": "{{ .Release.Name }}"}),
        ("secret", {"extraObjects": [TWO.format(value="old")]}, {"extraObjects": [TWO.format(value="new")]}),
        ("config", {"extraObjects": [SITE]}, {"extraObjects": [{**SITE, "data": {"A": "2"}}]}),
        ("config", {}, {"config": {"OUTBOX_LEDGER_DAYS": "7"}}),
        ("config", {}, {"django.logLevel": "DEBUG"}),
    ],
)
def test_a_change_of_what_the_chart_renders_for_pods_replaces_them(
    kind: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    old, new = (checksums(render(changed("smallest", changes)), kind) for changes in (before, after))
    assert old.keys() == new.keys()
    assert {name for name in old if old[name] == new[name]} == set()
    assert len(old) == 10


def test_a_change_of_another_object_or_of_how_many_there_are_replaces_no_pod() -> None:
    plain = rendered("production")
    other = render(changed("production", {"extraObjects": [TOPIC], "worker.replicas": 5, "api.service.port": 81}))
    changed_once = render(changed("production", {"extraObjects": [], "worker.replicas": 5}))
    assert checksums(other, "secret") == checksums(plain, "secret")
    assert checksums(other, "config") == checksums(changed_once, "config")


def test_every_pod_has_both_checksums_also_where_all_secrets_exist_already() -> None:
    for kind in ("config", "secret"):
        assert all(len(checksum) == 64 for checksum in checksums(rendered("restricted"), kind).values())


def test_a_new_version_of_a_workload_is_there_before_an_old_one_goes() -> None:
    for manifest in rendered("production").of_kind("Deployment"):
        strategy = manifest["spec"]["strategy"]
        if manifest["metadata"]["name"] != "demo-auditlog-reconciler":
            assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


NAMED = {"consumer.staticMembership": {"enabled": True, "sessionTimeoutSeconds": 90}}


def test_consumers_with_names_are_pods_of_a_stateful_set_and_otherwise_the_same() -> None:
    shown, plain = render(changed("production", NAMED)), rendered("production")
    named = shown.one("StatefulSet", "consumer")
    expected = copy.deepcopy(plain.one("Deployment", "consumer")["spec"]["template"])
    found = copy.deepcopy(named["spec"]["template"])
    added = [
        entry
        for entry in found["spec"]["containers"][0]["env"]
        if entry not in expected["spec"]["containers"][0]["env"]
    ]
    assert added == [
        {"name": "KAFKA_GROUP_INSTANCE_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "KAFKA_SESSION_TIMEOUT_SECONDS", "value": "90"},
    ]
    for entry in added:
        found["spec"]["containers"][0]["env"].remove(entry)
    assert found == expected
    assert "consumer" not in {m["metadata"]["name"].rpartition("-")[2] for m in shown.of_kind("Deployment")}


def test_what_belongs_to_a_consumer_goes_with_its_stateful_set() -> None:
    shown = render(changed("production", NAMED))
    named = shown.one("StatefulSet", "consumer")["spec"]
    service = shown.one("Service", "consumer")
    assert named["serviceName"] == service["metadata"]["name"]
    assert service["spec"] == {"clusterIP": "None", "selector": named["selector"]["matchLabels"]}
    scaled = shown.one("ScaledObject", "consumer")["spec"]["scaleTargetRef"]
    assert scaled == {"kind": "StatefulSet", "name": "demo-auditlog-consumer"}
    assert "replicas" not in named
    budget = shown.one("PodDisruptionBudget", "consumer")["spec"]
    assert budget["selector"] == named["selector"]
    assert "statefulset/demo-auditlog-consumer" in shown.notes
    assert render(changed("smallest", NAMED)).one("StatefulSet", "consumer")["spec"]["replicas"] == 1


@pytest.mark.parametrize("version", supported_versions())
def test_every_manifest_with_named_consumers_is_valid(version: str) -> None:
    manifests = render(changed("production", NAMED)).manifests
    assert [problem for manifest in manifests for problem in problems(manifest, version=version)] == []
