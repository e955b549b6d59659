"""Values of the chart that stand in the documentation: it takes them, and Kubernetes takes what becomes of them."""

from __future__ import annotations

import copy
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendering import CHART, ROOT, render, values_of
from tests.helm.schemas import problems

VALUES = re.compile(r"^ *```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), CHART / "README.md"]
BLOCKS = [
    (page, yaml.safe_load(textwrap.dedent(block)))
    for page in PAGES
    for block in VALUES.findall(page.read_text(encoding="utf-8"))
]


def laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return values with others laid over them, as Helm does with a second file."""
    values = copy.deepcopy(below)
    for key, value in above.items():
        inner = values.get(key)
        values[key] = laid_over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return values


def test_values_stand_in_the_guides() -> None:
    assert {"deploy-with-helm", "secure-the-connection-to-kafka", "trace-requests", "README"} == {
        page.stem for page, _ in BLOCKS
    }


@pytest.mark.parametrize(("page", "values"), BLOCKS, ids=[page.stem for page, _ in BLOCKS])
def test_values_in_the_documentation_are_taken(page: Path, values: dict[str, Any]) -> None:
    # A whole file, or something to add to one.
    whole = values if "image" in values else laid_over(values_of("smallest"), values)
    manifests = render(whole).manifests
    assert [problem for manifest in manifests for problem in problems(manifest, version="1.33")] == [], page
