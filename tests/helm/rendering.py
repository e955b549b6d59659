"""Renders the chart with Helm's own engine. The one place that knows by which library."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml
from helm_python import Chart, HelmError

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "auditlog"
SHAPES = ("smallest", "production", "restricted")
RELEASE, NAMESPACE = "demo", "audit"
WORKLOADS = {"Deployment", "StatefulSet", "Job", "CronJob", "Pod"}

Manifest = dict[str, Any]

__all__ = ["HelmError"]


@dataclass(frozen=True)
class Rendered:
    """What one set of values becomes."""

    manifests: tuple[Manifest, ...]
    notes: str

    def of_kind(self, kind: str) -> list[Manifest]:
        """Return the objects of a kind."""
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        """Return the only object of a kind and a name behind the release's."""
        (found,) = [m for m in self.of_kind(kind) if m["metadata"]["name"] == f"{RELEASE}-auditlog-{name}"]
        return found

    def pods(self) -> dict[str, Manifest]:
        """Return the pod template of every workload, by kind and name."""
        return {f"{m['kind']}/{m['metadata']['name']}": pod_of(m) for m in self.manifests if m["kind"] in WORKLOADS}

    def container(self, kind: str, name: str) -> Manifest:
        """Return the first container of a workload."""
        found: Manifest = self.pods()[f"{kind}/{RELEASE}-auditlog-{name}"]["spec"]["containers"][0]
        return found

    def environment(self, kind: str, name: str) -> dict[str, Any]:
        """Return the variables of a workload: values, or where they come from."""
        entries = self.container(kind, name)["env"]
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}

    def secret_of(self, kind: str, name: str, variable: str) -> tuple[str, str]:
        """Return the Secret and the key out of which a variable comes."""
        reference = self.environment(kind, name)[variable]["secretKeyRef"]
        return reference["name"], reference["key"]


def pod_of(workload: Manifest) -> Manifest:
    """Return the pod that a workload makes."""
    spec = workload["spec"]
    if workload["kind"] == "Pod":
        return workload
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    pod: Manifest = spec["template"]
    return pod


def values_of(shape: str) -> dict[str, Any]:
    """Return the values of a file in the chart's ci/."""
    values: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{shape}-values.yaml").read_text(encoding="utf-8"))
    return values


@cache
def rendered(shape: str) -> Rendered:
    """Return what a file in ci/ becomes."""
    return render(values_of(shape))


def changed(shape: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a shape with some of them set anew, by dotted path."""
    values = copy.deepcopy(values_of(shape))
    for path, value in changes.items():
        *above, last = path.split(".")
        block = values
        for key in above:
            block = block.setdefault(key, {})
        block[last] = value
    return values


def render(values: dict[str, Any], *, revision: int = 1, chart: Path = CHART) -> Rendered:
    """
    Render the chart as an installation would.

    :raises HelmError: if the values do not fit.
    """
    with Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        files = loaded.render(values, name=RELEASE, namespace=NAMESPACE, revision=revision)
    notes = next(text for name, text in files.items() if name.endswith("NOTES.txt"))
    texts = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    return Rendered(tuple(m for text in texts for m in yaml.safe_load_all(text) if m), notes)


def lint(values: dict[str, Any]) -> list[str]:
    """Return what Helm's strict linter has to say."""
    found = helm_python.lint(CHART, values, strict=True)
    return [f"{message['path']}: {message['error']}" for message in found["messages"]]


def package(folder: Path) -> Path:
    """Make the archive that is published, in a folder."""
    return Path(helm_python.package(CHART, destination=folder))
