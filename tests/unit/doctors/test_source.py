"""Reading files as they come."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from doctors.clinicians.generator import write
from doctors.clinicians.rows import COLUMNS, Rejected, Row
from doctors.clinicians.source import ClinicianFile, UnreadableFile


def generated(rows: int = 5) -> str:
    text = io.StringIO()
    write(text, rows=rows, seed=1)
    return text.getvalue()


def read(path: Path, content: str | bytes, *, encoding: str = "utf-8") -> list[Row | Rejected]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with ClinicianFile(path, encoding=encoding) as source:
        return list(source)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clinicians.csv"


def test_each_row_knows_the_line_on_which_it_begins(path: Path) -> None:
    lines = generated(3).splitlines(keepends=True)
    first = lines[1].replace(",M,", ',"M\n",', 1)

    rows = read(path, lines[0] + "\n" + first + "\r\n" + lines[2] + "," * 39 + "\n" + lines[3])

    assert [row.line for row in rows] == [3, 6, 8]
    assert all(isinstance(row, Row) for row in rows)


def test_a_byte_order_mark_and_other_line_ends_are_no_problem(path: Path) -> None:
    plain = read(path, generated())

    assert read(path, b"\xef\xbb\xbf" + generated().replace("\n", "\r\n").encode()) == plain


def test_header_names_are_known_in_any_case_and_order(path: Path) -> None:
    plain = read(path, generated())
    table = [list(reversed(row)) for row in csv.reader(io.StringIO(generated()))]
    table[0] = [name.strip().upper() for name in table[0]]
    text = io.StringIO()
    csv.writer(text).writerows(table)

    assert read(path, text.getvalue()) == plain


def test_a_row_with_broken_quotes_is_rejected_and_the_next_one_read(path: Path) -> None:
    lines = generated(3).splitlines(keepends=True)
    broken = '"12"34,' + lines[2]

    rows = read(path, lines[0] + lines[1] + broken + lines[3])

    assert [type(row) for row in rows] == [Row, Rejected, Row]
    assert isinstance(rows[1], Rejected)
    assert rows[1].line == 3
    assert rows[1].reason.startswith("malformed CSV")


def test_a_quote_that_nobody_closes_is_reported_with_the_lines_that_it_swallowed(path: Path) -> None:
    lines = [line.replace('"', "") for line in generated(4).splitlines(keepends=True)]

    rows = read(path, lines[0] + lines[1] + '"' + lines[2] + lines[3])

    assert rows[1:] == [Rejected(3, "malformed CSV up to line 4: unexpected end of data")]


def test_a_file_in_another_encoding_is_refused_before_its_first_row(path: Path) -> None:
    lines = generated(3).splitlines(keepends=True)
    content = (lines[0] + lines[1] + lines[2].replace(",M,", ",PEÑA,", 1)).encode("latin-1")

    with pytest.raises(UnreadableFile, match=r"is not utf-8 text \(near line 3\).*--encoding latin-1"):
        read(path, content)


def test_a_file_in_a_named_encoding_is_read(path: Path) -> None:
    lines = generated(2).splitlines(keepends=True)
    name = next(csv.reader([lines[1]]))[COLUMNS.index("lst_nm")]

    rows = read(path, (lines[0] + lines[1].replace(name, "PEÑA")).encode("latin-1"), encoding="latin-1")

    assert isinstance(rows[0], Row)
    assert rows[0].clinician.facts["last_name"] == "PEÑA"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header lacks NPI"),
        (b"NPI,lst_nm\n1,2\n", "its header lacks frst_nm, pri_spec, adr_ln_1"),
        (b"\x89PNG\r\n\x1a\n\x00", "is not utf-8 text"),
        ((",".join(COLUMNS) + ",NPI\n").encode(), "names NPI more than once"),
    ],
)
def test_what_is_no_clinician_file_is_refused(path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UnreadableFile, match=message):
        read(path, content)


def test_a_missing_file_and_an_unknown_encoding_are_named(path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No such file"):
        ClinicianFile(path)
    with pytest.raises(UnreadableFile, match="'klingon' is not an encoding"):
        ClinicianFile(path, encoding="klingon")
