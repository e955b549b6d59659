"""Alerts, runbooks and dashboards: they fire, they exist, and they name only metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendering import CHART, NAMESPACE, ROOT, changed, render, rendered
from tests.unit.docs.documents import Document
from tests.unit.docs.test_reference import METRICS

CASES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text(encoding="utf-8"))
RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
# Of kube-state-metrics.
OTHERS = {"kube_job_status_failed"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
SERIES = {name + suffix for name, metric in METRICS.items() for suffix in SUFFIXES[str(metric._type)]}
NAME = re.compile(r"\b((?:auditlog|kube)_[a-z_]+)\b")
EMERGENCY = ("What it means", "Look", "Do", "Afterwards")


@cache
def rules() -> dict[str, dict[str, Any]]:
    """Return the alerts of everything on, by name."""
    groups = rendered("production").one("PrometheusRule", "alerts")["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def samples(series: dict[str, str]) -> list[dict[str, str]]:
    """Return series as promtool reads them, in our namespace."""
    found = []
    for name, values in series.items():
        metric, _, labels = name.partition("{")
        inner = ",".join(part for part in (labels.rstrip("}"), f'namespace="{NAMESPACE}"') if part)
        found.append({"series": f"{metric}{{{inner}}}", "values": values})
    return found


def expectations(alert: str) -> list[dict[str, Any]]:
    """Return promtool's tests of one alert: it fires, and where it must not, it does not."""
    case, rule = CASES[alert], rules()[alert]
    labels = {"namespace": NAMESPACE} if "absent" in rule["expr"] and "relay_shards" in str(case["series"]) else {}
    fires = {
        "exp_labels": {**rule["labels"], **labels, **case.get("labels", {})},
        "exp_annotations": {**rule["annotations"], "summary": case["summary"]},
    }
    return [
        {
            "interval": "1m",
            "input_series": samples(series),
            "alert_rule_test": [{"eval_time": case.get("at", "1h"), "alertname": alert, "exp_alerts": expected}],
        }
        for series, expected in ((case["series"], [fires]), (case["quiet"], []))
    ]


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_not_otherwise(promtool: str, alert: str, tmp_path: Path) -> None:
    spec = rendered("production").one("PrometheusRule", "alerts")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": expectations(alert)}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_has_a_runbook_of_its_name_and_no_other_exists() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("Audit*.md")}
    assert set(rules()) == set(CASES) == pages


@pytest.mark.parametrize("alert", CASES)
def test_a_runbook_leads_from_the_page_to_the_repair(alert: str) -> None:
    page = Document(RUNBOOKS / f"{alert}.md")
    assert page.text.startswith(f"# {alert}\n")
    for title in EMERGENCY:
        assert re.search(rf"^## {title}\n\n[^#\n]", page.text, re.MULTILINE), title
    assert f"]({alert}.md)" in (RUNBOOKS / "README.md").read_text(encoding="utf-8")


def test_every_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    for name, rule in rules().items():
        assert rule["labels"] == {"severity": rule["labels"]["severity"], "team": "compliance"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["runbook_url"] == f"https://docs.example.org/runbooks/{name}.md"
        assert "%" not in re.sub(r"humanizePercentage", "", rule["expr"])


def test_without_an_address_the_runbook_is_named_by_its_path() -> None:
    shown = render(changed("production", {"monitoring.prometheusRule.runbookBaseUrl": ""}))
    for group in shown.one("PrometheusRule", "alerts")["spec"]["groups"]:
        for rule in group["rules"]:
            assert (ROOT / rule["annotations"]["runbook_url"]).is_file()


def test_alerts_name_only_metrics_that_exist_and_only_of_this_namespace() -> None:
    for name, rule in rules().items():
        named = set(NAME.findall(rule["expr"]))
        assert named, name
        assert named - SERIES - OTHERS == set(), name
        assert rule["expr"].count(f'namespace="{NAMESPACE}"') == len(NAME.findall(rule["expr"])), name


def test_thresholds_come_from_the_values() -> None:
    thresholds = {"loopAgeSeconds": 777, "oldestEventSeconds": 778, "storageDelaySeconds": 779, "apiErrorRatio": 0.5,
                  "apiLatencySeconds": 9.5, "outboxEvents": 780, "lagEvents": 781, "partitionHorizonDays": 782,
                  "oldestTaskSeconds": 783, "reconciliationAgeSeconds": 784}  # fmt: skip
    shown = render(changed("production", {"monitoring.prometheusRule.thresholds": thresholds}))
    text = json.dumps(shown.one("PrometheusRule", "alerts"))
    for threshold in thresholds.values():
        assert f"> {threshold}" in text or f"< {threshold}" in text


def test_an_alert_can_be_left_out_and_what_does_not_run_has_none() -> None:
    changes = {"monitoring.prometheusRule.disabled": ["AuditEventsParked"], "consumer.enabled": False,
               "consumer.keda.enabled": False, "worker.enabled": False, "reconciler.enabled": False,
               "monitoring.prometheusRule.kubeStateMetrics": False}  # fmt: skip
    groups = render(changed("production", changes)).one("PrometheusRule", "alerts")["spec"]["groups"]
    assert [group["name"] for group in groups] == ["auditlog-capture", "auditlog-relay", "auditlog-api"]
    assert "AuditEventsParked" not in json.dumps(groups)


def test_every_pod_with_metrics_is_looked_at_and_no_other() -> None:
    shown = rendered("production")
    with_metrics = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in shown.pods().values()
        if any(port["name"] == "metrics" for port in pod["spec"]["containers"][0].get("ports", []))
    }
    selector = shown.one("PodMonitor", "metrics")["spec"]["selector"]
    (chosen,) = selector["matchExpressions"]
    assert (chosen["key"], chosen["operator"]) == ("app.kubernetes.io/component", "In")
    assert set(chosen["values"]) == with_metrics
    assert selector["matchLabels"] == {"app.kubernetes.io/name": "auditlog", "app.kubernetes.io/instance": "demo"}


def test_series_are_relabelled_as_the_values_say() -> None:
    rules = {
        "relabelings": [{"targetLabel": "cluster", "replacement": "one"}],
        "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
    }
    values = {f"monitoring.podMonitor.{name}": rule for name, rule in rules.items()}
    shown = render(changed("production", {**values, "monitoring.podMonitor.interval": "15s"}))
    (endpoint,) = shown.one("PodMonitor", "metrics")["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "metrics", "interval": "15s", "scrapeTimeout": "10s", **rules}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_names_only_metrics_that_exist(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 5
    for query in queries:
        named = set(NAME.findall(query))
        assert named, query
        assert named - SERIES == set(), query
        assert query.count('namespace="$namespace"') == len(NAME.findall(query)), query
    assert board["uid"] == path.stem
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(panel.get("description") for panel in board["panels"] if panel["type"] != "row")


def test_every_metric_of_the_catalogue_is_on_a_dashboard() -> None:
    shown = set(NAME.findall("".join(path.read_text(encoding="utf-8") for path in DASHBOARDS)))
    unseen = {name for name, metric in METRICS.items() if not {name + s for s in SUFFIXES[str(metric._type)]} & shown}
    assert unseen == set()


def test_dashboards_are_rendered_as_they_are_with_the_sidecars_label() -> None:
    boards = [m for m in rendered("production").of_kind("ConfigMap") if "dashboard" in m["metadata"]["name"]]
    assert len(boards) == len(DASHBOARDS) > 0
    for board, path in zip(boards, DASHBOARDS, strict=True):
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(board["data"][path.name]) == json.loads(path.read_text(encoding="utf-8"))
