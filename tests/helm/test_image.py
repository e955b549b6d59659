"""The container image: how it is built, what is in it, and the compose file beside it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import values
from tests.helm.image import Image, allowed, locked, stages
from tests.helm.rendering import CHART, ROOT, pod_of, rendered
from tests.unit.docs.documents import reference

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "auditlog:trial"}
PACKAGES = {"auditlog", "consumers", "doctors", "publishers", "settings"}


def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [linter, "--failure-threshold", "style", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_image_runs_without_root_without_a_shell_and_gets_its_signals_itself() -> None:
    runtime = stages()["runtime"]
    assert runtime.of_kind("USER") == ["10001:10001"]
    assert runtime.of_kind("STOPSIGNAL") == ["SIGTERM"]
    assert runtime.of_kind("ENTRYPOINT") == []
    (command,) = runtime.of_kind("CMD")
    api = rendered("smallest").pods()["Deployment/demo-auditlog-api"]["spec"]["containers"][0]
    assert json.loads(command) == [*api["command"], *api["args"]]
    user = values.read(CHART / "values.yaml")
    (pods,) = [value for value in user if value.name == "pods"]
    security = next(value.default for value in pods.children if value.name == "pods.securityContext")
    assert security["runAsUser"] == security["runAsGroup"] == 10001


def test_the_build_gets_the_application_and_nothing_else() -> None:
    assert set(allowed()) == PACKAGES | {"manage.py", "requirements/base.txt", "requirements/otel.txt"}


def test_the_image_has_the_application_its_static_files_and_its_locked_dependencies(image: Image) -> None:
    assert {path.name for path in image.application.iterdir()} - {"__pycache__"} == PACKAGES | {
        "manage.py",
        "staticfiles",
    }
    assert (image.application / "auditlog/migrations/sql/capture_functions.sql").is_file()
    assert (image.application / "staticfiles/drf_spectacular_sidecar").is_dir()
    script = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"
    found = subprocess.run([image.python, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {re.sub(r"[-_.]+", "-", name) for name in found} == {
        re.sub(r"[-_.]+", "-", name.lower()) for name in locked()
    }


def test_the_bill_of_materials_names_what_is_locked(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"cyclonedx-py (requirements .*)", makefile)
    program = Path(sys.executable).parent / "cyclonedx-py"
    arguments = recipe.replace("dist/sbom.cdx.json", str(tmp_path / "sbom.json")).split()
    subprocess.run([program, *arguments], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((tmp_path / "sbom.json").read_text(encoding="utf-8"))
    assert {component["name"] for component in bill["components"]} == locked()
    assert all(component["externalReferences"][0]["hashes"] for component in bill["components"])


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_the_compose_file_is_as_closed_as_a_pod(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_compose_file_and_the_chart_run_the_same() -> None:
    shown = rendered("production")
    pods = {
        m["metadata"]["labels"]["app.kubernetes.io/component"]: pod_of(m)
        for m in shown.manifests
        if m["kind"] in {"Deployment", "Job"}
    }
    assert pods.keys() == OURS.keys() - {"roles"}
    for name, pod in pods.items():
        container, service = pod["spec"]["containers"][0], OURS[name]
        run = [*container["command"], *container["args"]]
        assert service.get("command", run)[:3] == run[:3]
        if "stop_grace_period" in service:
            assert service["stop_grace_period"] == f"{pod['spec']['terminationGracePeriodSeconds']}s"


def test_every_variable_of_the_compose_file_and_of_the_chart_exists() -> None:
    page = reference("configuration")
    known = page.first_column("Environment variables") | page.first_column("Read elsewhere")
    given = {variable for service in OURS.values() for variable in service["environment"]}
    for pod in rendered("production").pods().values():
        given |= {entry["name"] for entry in pod["spec"]["containers"][0]["env"]}
    assert given - known == {"TZ", "WAIT_SECONDS"}
