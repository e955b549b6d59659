"""Reads values.yaml with its comments: each value with its description, default and schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DESCRIPTION, SCHEMA = "# -- ", "# @schema "
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
STRING_MAP = {"type": "object", "additionalProperties": {"type": "string"}}


class Undocumented(Exception):
    """A value has no line that begins with `# -- `."""


class Repeated(Exception):
    """A key stands twice in a map: the later one would win, in silence."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value, or a map of them."""

    path: tuple[str, ...]
    default: Any
    description: str
    overlay: dict[str, Any]
    children: tuple[Value, ...]

    @property
    def name(self) -> str:
        """The path as it is written after --set."""
        return ".".join(self.path)

    def leaves(self) -> Iterator[Value]:
        """Yield the documented values."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema: closed wherever the keys are known."""
        if self.children:
            properties = {child.path[-1]: child.schema() for child in self.children}
            return {"type": "object", "additionalProperties": False, "properties": properties}
        return {"description": self.description, **_inferred(self.default), **self.overlay}


def read(path: Path) -> tuple[Value, ...]:
    """
    Return the values of a file.

    :raises Undocumented: naming the value without a description.
    :raises Repeated: naming the value that stands there twice.
    """
    text = path.read_text(encoding="utf-8")
    return _children(yaml.compose(text), text.splitlines(), ())


def _children(node: Any, lines: list[str], path: tuple[str, ...]) -> tuple[Value, ...]:
    keys = [key.value for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise Repeated(".".join((*path, key)))
    return tuple(_value(key, node, lines, path) for key, node in node.value)


def _value(key: Any, node: Any, lines: list[str], above: tuple[str, ...]) -> Value:
    path = (*above, key.value)
    comments = _comments_above(lines, key.start_mark.line)
    description = " ".join(line.removeprefix(DESCRIPTION) for line in comments if line.startswith(DESCRIPTION))
    overlay: dict[str, Any] = {}
    for line in comments:
        if line.startswith(SCHEMA):
            overlay |= json.loads(line.removeprefix(SCHEMA))
    default = yaml.safe_load(yaml.serialize(node))
    if description:
        return Value(path, default, description, overlay, ())
    if not (isinstance(node, yaml.MappingNode) and node.value):
        raise Undocumented(".".join(path))
    return Value(path, default, "", {}, _children(node, lines, path))


def _comments_above(lines: list[str], line: int) -> list[str]:
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return [text.strip() for text in lines[first:line]]


def _inferred(default: Any) -> dict[str, Any]:
    if isinstance(default, dict):
        return STRING_MAP
    if isinstance(default, list):
        return {"type": "array", "items": {"type": "string"}}
    return {} if default is None else {"type": TYPES[type(default)]}
