"""The chart as a whole: lint, schema, README, and manifests that Kubernetes takes."""

from __future__ import annotations

import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from helm import generate, values
from tests.helm.rendering import CHART, SHAPES, Manifest, lint, package, render, rendered, values_of
from tests.helm.schemas import problems, supported_versions

DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
EXAMPLES = sorted((CHART / "examples").glob("*/values.yaml"))
NEVER = re.compile(
    r"\b(rand\w+|uuidv4|genPrivateKey|genCA\w*|genSelfSignedCert\w*|genSignedCert\w*|now|date\w*|lookup|getHostByName|derivePassword"
    r"|htpasswd|bcrypt|encryptAES)\b"
)
ACTION = re.compile(r"\{\{-?(?!\s*/\*)(.*?)-?\}\}", re.DOTALL)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_strict_linter_has_nothing_to_say(shape: str) -> None:
    assert lint(values_of(shape)) == []


def test_the_linter_would_say_something() -> None:
    said = lint({**values_of("smallest"), "api": {"replicas": "many"}})
    assert "/api/replicas" in said[0]


@pytest.mark.parametrize("version", supported_versions())
@pytest.mark.parametrize("shape", SHAPES)
def test_every_manifest_is_valid(shape: str, version: str) -> None:
    manifests = rendered(shape).manifests
    assert len(manifests) > 8
    assert [problem for manifest in manifests for problem in problems(manifest, version=version)] == []


def test_the_supported_range_is_the_charts() -> None:
    floor = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["kubeVersion"]
    assert floor == f">={supported_versions()[0]}.0-0"
    assert supported_versions()[-1] >= "1.37"


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [("Deployment", "relay", "spec"), ("ScaledObject", "relay", "spec"), ("PrometheusRule", "alerts", "spec")],
)
def test_a_field_that_does_not_belong_there_is_found(kind: str, name: str, path: str) -> None:
    manifest = rendered("production").one(kind, name)
    broken = {**manifest, path: {**manifest[path], "replica": 3}}
    assert problems(manifest, version="1.30") == []
    assert len(problems(broken, version="1.30")) == 1


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_renders_and_is_valid(example: Path) -> None:
    manifests = render(yaml.safe_load(example.read_text(encoding="utf-8"))).manifests
    ours = [m for m in manifests if m["apiVersion"].split("/")[0] not in {"postgresql.cnpg.io", "kafka.strimzi.io"}]
    assert [problem for manifest in ours for problem in problems(manifest, version="1.33")] == []


def test_there_are_examples() -> None:
    assert [path.parent.name for path in EXAMPLES] == ["cloudnativepg-strimzi", "managed"]


def test_the_schema_and_the_readme_are_what_values_yaml_says() -> None:
    assert (CHART / "values.schema.json").read_text(encoding="utf-8") == generate.schema(), "run make chart"
    assert (CHART / "README.md").read_text(encoding="utf-8") == generate.readme(), "run make chart"


def test_a_value_without_a_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("# -- Good.\na: 1\nb:\n  # a comment\n  c: 2\n", encoding="utf-8")
    with pytest.raises(values.Undocumented, match=r"^b\.c$"):
        values.read(tmp_path / "values.yaml")


def test_a_value_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("a:\n  # -- Good.\n  b: 1\n  # -- Better.\n  b: 2\n", encoding="utf-8")
    with pytest.raises(values.Repeated, match=r"^a\.b$"):
        values.read(tmp_path / "values.yaml")


def test_the_schema_covers_every_default_and_is_closed_wherever_keys_are_known() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(DEFAULTS)] == []
    uncovered = [path for path in paths_of(DEFAULTS) if not covers(path)]
    assert uncovered == []


def test_the_schema_needs_nothing_from_elsewhere() -> None:
    assert "$ref" not in (CHART / "values.schema.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "value"),
    [("imgae", {}), ("api.replica", 3), ("kafka.securityProtocol", "TLS"), ("image.digest", "latest"),
     ("api.keda", {}), ("database.urls", {"superuser": "x"}), ("config", {"lower": "x"}),
     ("relay.keda.maxReplicas", 65)],
)  # fmt: skip
def test_a_value_that_is_misspelt_or_of_the_wrong_kind_is_refused(path: str, value: Any) -> None:
    document: Any = value
    for key in reversed(path.split(".")):
        document = {key: document}
    assert list(jsonschema.Draft7Validator(SCHEMA).iter_errors(document)) != []


def test_rendering_is_the_same_each_time_and_asks_nobody() -> None:
    assert render(values_of("production")).manifests == rendered("production").manifests
    actions = {
        (path.name, word)
        for path in (CHART / "templates").rglob("*.*")
        for action in ACTION.findall(path.read_text(encoding="utf-8"))
        for word in NEVER.findall(re.sub(r'"[^"]*"', "", action))
    }
    assert actions == set()


def test_the_package_has_what_the_chart_needs_and_nothing_for_its_tests(tmp_path: Path) -> None:
    with tarfile.open(package(tmp_path)) as archive:
        names = {Path(name).relative_to("auditlog") for name in archive.getnames()}
    assert {Path(f"files/dashboards/{path.name}") for path in (CHART / "files/dashboards").iterdir()} <= names
    assert {Path("files/alerts.yaml"), Path("values.schema.json"), Path("README.md"), Path("UPGRADING.md")} <= names
    assert {name for name in names if name.parts[0] in {"ci", "examples"}} == set()


def test_no_value_is_left_without_a_use() -> None:
    used = "\n".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").rglob("*.*"))
    # By computed names: roles, thresholds, probes, what a pod has.
    words = {leaf.path[-1] for value in values.read(CHART / "values.yaml") for leaf in value.leaves()}
    by_name = {"app", "relay", "consumer", "reader", "owner"}
    thresholds = set(DEFAULTS["monitoring"]["prometheusRule"]["thresholds"])
    unused = {word for word in words - by_name - thresholds if not re.search(rf"\b{word}\b", used)}
    assert unused == set()


def test_every_object_has_the_standard_labels_and_the_common_ones() -> None:
    for manifest in rendered("production").manifests:
        if manifest["metadata"]["name"] == "demo-extra":
            continue
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "auditlog"
        assert labels["app.kubernetes.io/instance"] == "demo"
        assert labels["app.kubernetes.io/version"] == "1.0.0"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"] == "auditlog-1.0.0"
        assert labels["app.kubernetes.io/component"]
        assert labels["team"] == "compliance"
        assert manifest["metadata"]["annotations"]["contact"] == "audit@example.org"


def test_selectors_never_have_what_an_upgrade_changes() -> None:
    for manifest in rendered("production").of_kind("Deployment"):
        component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
        assert manifest["spec"]["selector"]["matchLabels"] == {
            "app.kubernetes.io/name": "auditlog",
            "app.kubernetes.io/instance": "demo",
            "app.kubernetes.io/component": component,
        }


def test_names_are_short_enough_for_what_kubernetes_appends() -> None:
    long = {**values_of("production"), "fullnameOverride": "x" * 63}
    names: dict[str, list[str]] = defaultdict(list)
    for manifest in render(long).manifests:
        names[manifest["kind"]].append(manifest["metadata"]["name"])
    assert max(len(name) for name in names["CronJob"]) <= 52
    assert max(len(name) for kind in names for name in names[kind]) <= 63
    assert all(len(set(found)) == len(found) for found in names.values())


def paths_of(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every default."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from paths_of(inner, (*above, key))
    else:
        yield above


def covers(path: tuple[str, ...]) -> bool:
    """Tell whether the schema knows a path, by its members or because all members are allowed there."""
    node: Manifest = SCHEMA
    for key in path:
        if "properties" not in node:
            return bool(node.get("additionalProperties"))
        if node["additionalProperties"] is not False or key not in node["properties"]:
            return False
        node = node["properties"][key]
    return "description" in node
