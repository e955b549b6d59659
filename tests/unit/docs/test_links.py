"""Nothing in the documents leads nowhere: links, images, paths, commands, make targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.unit.docs.documents import CODE, ROOT, Document, documents

NAMED_PATH = re.compile(
    r"(?:auditlog|publishers|consumers|doctors|devstack|settings|bench|tests|docs|requirements)/[\w./-]*"
)


def named(pattern: str) -> set[str]:
    """Return what a pattern finds in all documents."""
    return {word for document in documents() for word in re.findall(pattern, document.text)}


@pytest.mark.parametrize("document", documents(), ids=lambda document: str(document.path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Document) -> None:
    assert document.broken_links() == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A title\n## `code`, twice\n## `code`, twice\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md#a-title) [b](other.md#code-twice-1) [c](#here) [d](https://example.org/x)\n"
        "[e](other.md#gone) ![f](gone.svg) [g](#there) `[h](in-code.md)`\n```\n[i](in-a-block.md)\n```\n",
        encoding="utf-8",
    )
    assert Document(page).broken_links() == ["other.md#gone", "gone.svg", "#there"]


def test_every_path_that_is_named_exists() -> None:
    spans = {span for document in documents() for span in CODE.findall(document.prose)}
    made_by_tools = set((ROOT / ".gitignore").read_text(encoding="utf-8").split())
    paths = {span for span in spans if NAMED_PATH.fullmatch(span)} - made_by_tools
    assert len(paths) > 30
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_command_that_is_named_exists() -> None:
    commands = named(r"manage\.py ([a-z_]+)")
    assert len(commands) > 10
    assert commands - set(get_commands()) == set()


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = named(r"(?:^|`)make ([a-z][a-z-]*)(?:`|\s+#|$)") | named(r"(?m)^make ([a-z][a-z-]*)\b")
    assert len(asked) > 5
    assert asked - targets == set()


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md" or not path.exists():
            continue
        reached.add(path)
        waiting += [(path.parent / link.partition("#")[0]).resolve() for link in Document(path).links]
    assert sorted({document.path for document in documents()} - reached) == []


def test_every_decision_says_why_what_else_and_when_to_look_again() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        document = Document(path)
        assert re.search(r"^Status: (accepted|replaced by .+), \d{4}-\d{2}-\d{2}$", document.text, re.MULTILINE), path
        assert {"context", "decision", "consequences", "rejected", "revisit-when"} <= document.anchors, path
