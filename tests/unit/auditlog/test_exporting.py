"""What exports are written as: nothing in them is a formula, a line of its own, or half a file."""

from __future__ import annotations

import csv
import io
import json
import stat
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.exporting.files import Digested, whole_file
from auditlog.exporting.formats import MEMBERS, Format, cell
from auditlog.models import AuditLog
from tests.unit.consumers.builders import LAW

HARMLESS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
ANYTHING = st.one_of(HARMLESS, st.text(st.sampled_from("=+-@\t\r\n'\"',;|= \uff1d\u2028"), max_size=8))


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return [path.name for path in folder.iterdir()]


def event(**values: Any) -> AuditLog:
    """Return an event that was never stored."""
    at = datetime(2026, 11, 23, 9, 5, 0, 1, tzinfo=UTC)
    facts = {"event_id": UUID(int=7), "occurred_at": at, "model": "doctors.doctor", "partition": 0, "offset": 4711}
    return AuditLog(**{**facts, **values})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        ("", '""'),
        ("Ada", '"Ada"'),
        ('=HYPERLINK("http://x.example","a")', '"\'=HYPERLINK(""http://x.example"",""a"")"'),
        ("+1", '"\'+1"'),
        ("-1+1", '"\'-1+1"'),
        ("@SUM(1)", '"\'@SUM(1)"'),
        ("\t=1", '"\'\t=1"'),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ("\uff1d1", '"\'\uff1d1"'),
        ("'=1", "\"''=1\""),
        ("a=1", '"a=1"'),
        ("a\r\nb,c", '"a\r\nb,c"'),
        (4711, '"4711"'),
        ({"=": ["@", Decimal("1.10")]}, '"{""="":[""@"",1.10]}"'),
        (datetime(2026, 11, 23, 9, 5, tzinfo=UTC), '"2026-11-23T09:05:00Z"'),
        (UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
    ],
)
def test_no_cell_is_a_formula(value: Any, written: str) -> None:
    assert cell(value) == written


@LAW
@given(reason=ANYTHING, name=ANYTHING)
def test_a_table_holds_every_text_and_taking_one_apostrophe_away_gives_it_back(reason: str, name: str) -> None:
    table = Format.CSV.beginning() + Format.CSV.lines([event(reason=reason, object_repr=name), event()])
    head, first, second = csv.reader(io.StringIO(table.decode(), newline=""), strict=True)
    assert tuple(head) == MEMBERS
    assert len(set(head)) == len(head)
    row = dict(zip(head, first, strict=True))
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r")) for text in first)
    assert (row["reason"].removeprefix("'"), row["object_repr"].removeprefix("'")) == (reason, name)
    assert len(second) == len(MEMBERS)


@LAW
@given(reason=ANYTHING)
def test_an_event_is_one_line_of_json_whatever_it_says(reason: str) -> None:
    lines = Format.NDJSON.lines([event(reason=reason), event()]) + Format.NDJSON.ending({"rows": 2})
    first, _second, last = lines.decode().splitlines()
    assert json.loads(first)["reason"] == reason
    assert json.loads(last) == {"type": "audit_export.trailer", "rows": 2}
    assert "type" not in json.loads(first)


def test_a_file_appears_when_it_is_whole_and_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    with whole_file(path) as file:
        content = Digested(file)
        content.write(b"one\n")
        assert not path.exists()
        assert [name.startswith(".events.ndjson.") for name in names_in(tmp_path)] == [True]
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"one\n", 0o600)
    assert content.sha256 == "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806"
    assert names_in(tmp_path) == ["events.ndjson"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_no_part_of_a_file_is_left_behind(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with whole_file(tmp_path / "events.csv") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert names_in(tmp_path) == []


def test_no_file_is_replaced_not_even_one_that_was_made_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"

    def write(meanwhile: bytes) -> None:
        with whole_file(path) as file:
            file.write(b"ours")
            path.write_bytes(meanwhile)

    for _attempt in range(2):
        with pytest.raises(FileExistsError):
            write(b"theirs")
        assert (path.read_bytes(), names_in(tmp_path)) == (b"theirs", ["events.csv"])
