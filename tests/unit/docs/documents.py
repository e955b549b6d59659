"""The Markdown documents of the project, and what can be read out of them: links, anchors, tables, code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FENCE = re.compile(r"^(```|~~~)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*$", re.MULTILINE)
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:")


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        """Everything."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without its code blocks."""
        return FENCE.sub("", self.text)

    @cached_property
    def anchors(self) -> set[str]:
        """What a link can lead to inside the document, by GitHub's rules."""
        found: dict[str, int] = {}
        anchors = set()
        for _, title in HEADING.findall(self.prose):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            anchors.add(f"{slug}-{found[slug]}" if slug in found else slug)
            found[slug] = found.get(slug, 0) + 1
        return anchors

    @cached_property
    def links(self) -> list[str]:
        """The targets of links and images inside the project."""
        return [link for link in LINK.findall(CODE.sub("", self.prose)) if not EXTERNAL.match(link)]

    def broken_links(self) -> list[str]:
        """Return the links and images that lead to no file, or to no heading."""
        return [target for target in self.links if not self._leads_somewhere(target)]

    def section(self, title: str) -> str:
        """Return the text below the heading of this title, up to the next heading of the same level or above."""
        start = next(match for match in HEADING.finditer(self.prose) if match[2] == title)
        level = len(start[1])
        following = (match for match in HEADING.finditer(self.prose, start.end()) if len(match[1]) <= level)
        end = next((match.start() for match in following), len(self.prose))
        return self.prose[start.end() : end]

    def rows(self, title: str) -> list[list[str]]:
        """Return the cells of the tables in a section, without their headers."""
        lines = [line for line in self.section(title).splitlines() if line.startswith("|")]
        tables = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
        ruled = [number for number, cells in enumerate(tables) if set("".join(cells)) <= set("-: |")]
        headers = {number - 1 for number in ruled} | set(ruled)
        return [cells for number, cells in enumerate(tables) if number not in headers]

    def first_column(self, title: str) -> set[str]:
        """Return the code in the first cells of the tables in a section."""
        return {word for cells in self.rows(title) for word in CODE.findall(cells[0])}

    def blocks(self, language: str) -> list[str]:
        """Return the code blocks in a language."""
        return [match["text"] for match in FENCE.finditer(self.text) if match["language"] == language]

    def _leads_somewhere(self, target: str) -> bool:
        name, _, anchor = target.partition("#")
        path = (self.path.parent / name).resolve() if name else self.path
        if not path.exists():
            return False
        return not anchor or path.suffix != ".md" or anchor in Document(path).anchors


def documents() -> list[Document]:
    """Return the documents of the project."""
    return [Document(path) for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])]


def reference(name: str) -> Document:
    """Return a page of the reference."""
    return Document(ROOT / "docs" / "reference" / f"{name}.md")


def sources(*packages: str) -> list[Path]:
    """Return the Python files of packages."""
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
