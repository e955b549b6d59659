"""The generated file."""

from __future__ import annotations

import csv
import io
from collections import Counter

from doctors.clinicians.generator import END_OF_NPIS, FIRST_UNISSUED, MOST_ROWS, NPI_STEP_MAXIMUM, write
from doctors.clinicians.rows import COLUMNS, MANGLED_NUMBER, Row, parse


def generated(*, rows: int = 600, seed: int = 7) -> str:
    text = io.StringIO()
    write(text, rows=rows, seed=seed)
    return text.getvalue()


def records(text: str) -> list[dict[str, str]]:
    header, *rows = csv.reader(io.StringIO(text))
    return [dict(zip((name.strip() for name in header), row, strict=True)) for row in rows]


def test_the_same_seed_gives_the_same_file_and_another_seed_another() -> None:
    assert generated() == generated()
    assert generated() != generated(seed=8)


def test_a_longer_file_begins_like_a_shorter_one() -> None:
    assert generated(rows=600).startswith(generated(rows=37))


def test_every_generated_row_is_usable() -> None:
    rows = [parse(line=1, header=COLUMNS, values=list(record.values())) for record in records(generated())]

    assert len(rows) == 600
    assert [row for row in rows if not isinstance(row, Row)] == []


def test_the_generated_file_has_the_dirt_of_the_published_one() -> None:
    text = generated()
    rows = records(text)

    assert text.startswith("NPI, Ind_PAC_ID, Ind_enrl_ID, lst_nm")
    assert any(MANGLED_NUMBER.fullmatch(row["phn_numbr"]) for row in rows)
    assert any(not row["phn_numbr"] for row in rows)
    assert any(len(row["zip"]) in {4, 8} for row in rows)
    assert any(len(row["hosp_afl_1"]) == 5 for row in rows)
    assert any("," in row["adr_ln_2"] for row in rows)
    assert any(row["hosp_afl_1"] and not row["hosp_afl_lbn_1"] for row in rows)
    assert max(Counter(row["NPI"] for row in rows).values()) > 3


def test_no_generated_address_is_repeated_and_no_npi_was_ever_issued() -> None:
    rows = records(generated(rows=5_000))

    assert len({(row["NPI"], row["adrs_id"]) for row in rows}) == 5_000
    assert all(row["NPI"].startswith("2") for row in rows)


def test_the_longest_file_does_not_run_out_of_npis() -> None:
    assert FIRST_UNISSUED + MOST_ROWS * NPI_STEP_MAXIMUM < END_OF_NPIS
