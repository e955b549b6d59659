"""What an operator can set: the same for every workload, rendered where it belongs, and said in the notes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.helm.rendering import CHART, NAMESPACE, Manifest, Rendered, changed, pod_of, render, rendered

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
BLOCKS = {
    **{f"Deployment/{name}": name for name in ("api", "relay", "consumer", "worker", "reconciler")},
    **{f"Job/{name}": name for name in ("migrations", "topics")},
    **{f"CronJob/{name}": f"cronJobs.{name}" for name in ("partitions", "rollups", "reconcile", "bypass")},
}
# What every pod may be given, whatever it does.
OF_EVERY_POD = {
    "enabled", "resources", "extraEnv", "extraEnvFrom", "extraVolumes", "extraVolumeMounts", "extraContainers",
    "extraInitContainers", "podLabels", "podAnnotations", "securityContext", "containerSecurityContext", "nodeSelector",
    "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName",
}  # fmt: skip
OF_EVERY_DEPLOYMENT = {
    "replicas", "strategy", "terminationGracePeriodSeconds", "startupProbe", "readinessProbe", "livenessProbe", "pdb"
}  # fmt: skip
PROBE = {"exec": {"command": ["true"]}, "periodSeconds": 7}
# Each value as a template, to see that it is rendered.
GIVEN: dict[str, Any] = {
    "extraEnv": [{"name": "A", "value": "{{ .Release.Name }}"}],
    "extraEnvFrom": [{"secretRef": {"name": "{{ .Release.Name }}-a"}}],
    "extraVolumes": [{"name": "a", "configMap": {"name": "{{ .Release.Name }}-a"}}],
    "extraVolumeMounts": [{"name": "a", "mountPath": "/{{ .Release.Name }}"}],
    "extraContainers": [{"name": "b", "image": "{{ .Release.Name }}-b"}],
    "extraInitContainers": [{"name": "c", "image": "{{ .Release.Name }}-c"}],
    "podLabels": {"d": "{{ .Release.Name }}-d"},
    "podAnnotations": {"e": "{{ .Release.Name }}-e"},
    "priorityClassName": "high",
    "nodeSelector": {"disk": "fast"},
    "securityContext": {"runAsNonRoot": True, "runAsUser": 7},
    "containerSecurityContext": {"readOnlyRootFilesystem": True, "runAsUser": 8},
}
# What stands in `pods`, and where it comes to stand in each pod's spec.
OF_ALL_PODS: dict[str, Any] = {
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "nodeSelector": {"disk": "fast"},
    "priorityClassName": "high",
    "securityContext": {**DEFAULTS["pods"]["securityContext"], "runAsUser": 7},
    "tolerations": [{"key": "a", "operator": "Exists"}],
}


def block(path: str) -> dict[str, Any]:
    """Return the defaults of a workload."""
    found: dict[str, Any] = DEFAULTS
    for key in path.split("."):
        found = found[key]
    return found


@pytest.mark.parametrize("path", BLOCKS.values())
def test_every_workload_has_the_same_keys(path: str) -> None:
    assert OF_EVERY_POD - {"topologySpreadConstraints"} <= block(path).keys()
    if "." not in path and path not in {"migrations", "topics"}:
        assert block(path).keys() >= OF_EVERY_POD | OF_EVERY_DEPLOYMENT


@pytest.mark.parametrize("workload", BLOCKS)
def test_what_is_given_to_a_workload_is_in_its_pod_and_in_no_other(workload: str) -> None:
    kind, name = workload.split("/")
    plain = rendered("production")
    shown = render(changed("production", {f"{BLOCKS[workload]}.{key}": value for key, value in GIVEN.items()}))
    pod = pod_of(shown.one(kind, name))
    assert_given(pod)
    others = {key: each for key, each in shown.pods().items() if key != f"{kind}/demo-auditlog-{name}"}
    # The pod of `helm test` is placed as the API is.
    others.pop("Pod/demo-auditlog-test")
    assert others == {key: plain.pods()[key] for key in others}


def assert_given(pod: Manifest) -> None:
    """Check that a pod has all that was given, rendered."""
    container, beside = pod["spec"]["containers"]
    assert {"name": "A", "value": "demo"} in container["env"]
    assert {"secretRef": {"name": "demo-a"}} in container["envFrom"]
    assert {"name": "a", "configMap": {"name": "demo-a"}} in pod["spec"]["volumes"]
    assert {"name": "a", "mountPath": "/demo"} in container["volumeMounts"]
    assert (beside["image"], pod["spec"]["initContainers"][0]["image"]) == ("demo-b", "demo-c")
    assert pod["metadata"]["labels"]["d"] == "demo-d"
    assert pod["metadata"]["annotations"]["e"] == "demo-e"
    assert (pod["spec"]["priorityClassName"], pod["spec"]["nodeSelector"]) == ("high", {"disk": "fast"})
    assert pod["spec"]["securityContext"]["runAsUser"] == 7
    assert container["securityContext"]["runAsUser"] == 8


def test_what_is_given_to_all_workloads_is_in_every_pod() -> None:
    changes = {"extraEnv": GIVEN["extraEnv"], "extraEnvFrom": GIVEN["extraEnvFrom"], "pods.labels": GIVEN["podLabels"]}
    for name, pod in render(changed("restricted", changes)).pods().items():
        assert {"name": "A", "value": "demo"} in pod["spec"]["containers"][0]["env"], name
        assert {"secretRef": {"name": "demo-a"}} in pod["spec"]["containers"][0]["envFrom"], name
        assert pod["metadata"]["labels"]["d"] == "demo-d", name


def test_what_all_pods_are_given_is_in_every_pod() -> None:
    changes = {f"pods.{key}": value for key, value in OF_ALL_PODS.items()}
    changes |= {"image.pullSecrets": ["registry"], "pods.extraSpec": {"dnsPolicy": "{{ .Release.Name }}"}}
    for name, pod in render(changed("smallest", changes)).pods().items():
        found = {key: pod["spec"][key] for key in (*OF_ALL_PODS, "imagePullSecrets", "dnsPolicy")}
        assert found == {**OF_ALL_PODS, "imagePullSecrets": [{"name": "registry"}], "dnsPolicy": "demo"}, name


@pytest.mark.parametrize("name", ["api", "relay", "consumer", "worker", "reconciler"])
@pytest.mark.parametrize("kind", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_is_replaced_whole_and_for_itself(name: str, kind: str) -> None:
    # null takes a default away; what a probe asks by is one of them.
    values = {**PROBE, "httpGet": None, "timeoutSeconds": None, "failureThreshold": None}
    found = render(changed("production", {f"{name}.{kind}": values})).container("Deployment", name)
    before = rendered("production").container("Deployment", name)
    assert {key: value for key, value in found[kind].items() if value is not None} == PROBE
    for other in {"startupProbe", "readinessProbe", "livenessProbe"} - {kind}:
        assert found.get(other) == before.get(other)


def test_the_release_has_a_service_account_of_its_own_with_a_clouds_annotations_or_none() -> None:
    shown = rendered("production")
    (account,) = shown.of_kind("ServiceAccount")
    role = "arn:aws:iam::123456789012:role/auditlog"
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] == role
    assert account["automountServiceAccountToken"] is False
    assert rendered("restricted").of_kind("ServiceAccount") == []


def test_scalers_and_monitors_are_as_the_values_say_and_only_where_they_are_wanted() -> None:
    shown = rendered("production")
    scaler = shown.one("HorizontalPodAutoscaler", "api")
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert scaler["spec"]["metrics"] == DEFAULTS["api"]["autoscaling"]["metrics"]
    assert scaler["spec"]["behavior"] == {"scaleDown": {"stabilizationWindowSeconds": 600}}
    assert shown.one("ScaledObject", "consumer")["spec"]["minReplicaCount"] == 2
    monitor = shown.one("PodMonitor", "metrics")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "interval": "30s", "scrapeTimeout": "10s"}]
    kinds = {manifest["kind"] for manifest in rendered("restricted").manifests}
    assert not kinds & {
        "HorizontalPodAutoscaler",
        "ScaledObject",
        "PodMonitor",
        "PrometheusRule",
        "Ingress",
        "HTTPRoute",
    }
    assert all(m["spec"]["revisionHistoryLimit"] == 3 for m in shown.of_kind("Deployment"))


def test_further_objects_are_rendered_as_templates() -> None:
    extra = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Namespace }}-b'}\n"
    shown = render(changed("production", {"extraObjects": [extra]}))
    assert [m for m in shown.of_kind("ConfigMap") if m["metadata"]["name"] == f"{NAMESPACE}-b"]
    assert any(m["metadata"]["name"] == "demo-extra" for m in rendered("production").of_kind("ConfigMap"))


def test_the_notes_say_how_to_reach_test_and_watch_it_and_what_is_not_safe() -> None:
    safe, trial = rendered("production").notes, rendered("smallest").notes
    assert "https://audit.example.org/" in safe
    assert "port-forward service/demo-auditlog-api 8000:80" in trial
    told = ("helm test demo", "api_key create USER", "outbox_status", "^auditlog_consumer_lag")
    assert [text for notes in (safe, trial) for text in told if text not in notes] == []
    assert "WARNING" not in safe
    warned = ("given in plain values", "spoken to in plain text", "fewer than three copies", "Nobody is paged")
    assert [text for text in warned if text not in trial] == []
    open_way = render(changed("production", {"api.ingress.tls": []})).notes
    assert "the Ingress has no certificate" in open_way


def test_the_chart_says_what_it_is_and_bundles_nothing() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["apiVersion"], chart["type"]) == ("v2", "application")
    assert {
        "kubeVersion",
        "description",
        "home",
        "icon",
        "sources",
        "keywords",
        "maintainers",
        "appVersion",
    } <= chart.keys()
    assert {"license", "images", "changes", "prerelease"} <= {key.split("/")[1] for key in chart["annotations"]}
    assert "dependencies" not in chart
    assert not (CHART / "charts").exists()


def test_one_of_ingress_and_route_is_enough() -> None:
    for changes, expected in (
        ({"api.ingress.enabled": False}, "HTTPRoute"),
        ({"api.httpRoute.enabled": False}, "Ingress"),
    ):
        assert kinds_of(render(changed("production", changes))) & {"Ingress", "HTTPRoute"} == {expected}


def kinds_of(shown: Rendered) -> set[str]:
    """Return the kinds of all objects."""
    return {manifest["kind"] for manifest in shown.manifests}
