"""Writes the chart's values.schema.json and README.md out of values.yaml: `python -m helm.generate` (`make chart`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from helm import values
from helm.values import Value

CHART = Path(__file__).resolve().parent / "auditlog"
INTRODUCTION = Path("README.head.md")
REMOVED = Path("files/removed.yaml")


def schema(chart: Path = CHART) -> str:
    """
    Return the schema of the values: closed, and with no reference to anything outside of it.

    Values that were removed pass, so that the chart can say what to write instead.
    """
    properties = {value.path[0]: value.schema() for value in values.read(chart / "values.yaml")}
    for path, advice in yaml.safe_load((chart / REMOVED).read_text(encoding="utf-8")).items():
        _let_through(path.split("."), f"Removed: {advice}.", properties)
    document = {
        "$schema": "https://json-schema.org/draft-07/schema#",
        "title": "Values of the chart auditlog",
        "type": "object",
        "additionalProperties": False,
        # Helm adds it for a parent chart's sake.
        "properties": {**properties, "global": {"type": "object"}},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def readme() -> str:
    """Return the README: the hand-written part, then a table of values for each block."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    head = (CHART / INTRODUCTION).read_text(encoding="utf-8")
    blocks = "\n".join(_block(title, leaves) for title, leaves in _blocks())
    return f"# {chart['name']}\n\n{chart['description']}\n\n{head}\n## Values\n\n{blocks}"


def main() -> None:
    """Write both files."""
    (CHART / "values.schema.json").write_text(schema(), encoding="utf-8")
    (CHART / "README.md").write_text(readme(), encoding="utf-8")


def _let_through(path: list[str], description: str, properties: dict[str, Any]) -> None:
    first, *rest = path
    if rest:
        block = properties.setdefault(first, {"type": "object", "additionalProperties": False, "properties": {}})
        _let_through(rest, description, block["properties"])
    else:
        properties[first] = {"description": description}


def _blocks() -> Iterator[tuple[str, list[Value]]]:
    top = values.read(CHART / "values.yaml")
    yield "General", [value for value in top if not value.children]
    for value in top:
        if value.children:
            yield value.name, list(value.leaves())


def _block(title: str, leaves: list[Value]) -> str:
    rows = "\n".join(f"| `{leaf.name}` | {_default(leaf.default)} | {_cell(leaf.description)} |" for leaf in leaves)
    heading = title if title == "General" else f"`{title}`"
    return f"### {heading}\n\n| Value | Default | Meaning |\n| --- | --- | --- |\n{rows}\n"


def _default(default: Any) -> str:
    return f"`{_cell(json.dumps(default, ensure_ascii=False))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
