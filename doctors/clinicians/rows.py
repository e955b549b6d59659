"""
The columns of the file, and what one row of it says: a pure function from text to values.

Repairs what spreadsheets did to the published file (lost leading zeros, phone numbers in scientific notation) and
names why a row cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doctors.models.doctor import Gender
from doctors.npi import is_npi

COLUMNS: tuple[str, ...] = (
    *("NPI", "Ind_PAC_ID", "Ind_enrl_ID", "lst_nm", "frst_nm", "mid_nm", "suff", "gndr", "Cred", "Med_sch", "Grd_yr"),
    *("pri_spec", "sec_spec_1", "sec_spec_2", "sec_spec_3", "sec_spec_4", "sec_spec_all"),
    *("org_nm", "org_pac_id", "num_org_mem", "adr_ln_1", "adr_ln_2", "ln_2_sprs", "cty", "st", "zip", "phn_numbr"),
    *(f"hosp_afl_{part}{number}" for number in range(1, 6) for part in ("", "lbn_")),
    *("ind_assgn", "grp_assgn", "adrs_id"),
)
SPECIALTY_COLUMNS = ("pri_spec", "sec_spec_1", "sec_spec_2", "sec_spec_3", "sec_spec_4")
HOSPITAL_NUMBERS = range(1, 6)
REQUIRED_COLUMNS = ("NPI", "lst_nm", "frst_nm", "pri_spec", "adr_ln_1", "cty", "st", "zip", "phn_numbr", "adrs_id")
# Values that a row cannot be used without.
REQUIRED_VALUES = ("lst_nm", "frst_nm", "adr_ln_1", "cty", "st", "zip", "adrs_id")
# Longest value that its column of ours holds, in characters.
LONGEST = {
    **dict.fromkeys(("lst_nm", "frst_nm", "mid_nm", "cty"), 100),
    **dict.fromkeys(("suff", "Cred"), 20),
    **dict.fromkeys(("Med_sch", "adr_ln_1", "adr_ln_2", *SPECIALTY_COLUMNS), 200),
    **{f"hosp_afl_lbn_{number}": 200 for number in HOSPITAL_NUMBERS},
    **{f"hosp_afl_{number}": 20 for number in HOSPITAL_NUMBERS},
    "st": 2,
    "adrs_id": 64,
    "phn_numbr": 32,
}
MANGLED_NUMBER = re.compile(r"\d(\.\d+)?E\+?\d+", re.IGNORECASE)
ZIP, ZIP_PLUS_4 = 5, 9
HOSPITAL_CODE = 6
YEARS = range(1900, 2100)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be used."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital of a clinician: its CMS certification number, and its name where the file has it."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Clinician:
    """What a row says of a person; the keys of `names` are fields of Doctor."""

    npi: str
    facts: Mapping[str, str | int | None]
    specialties: tuple[str, ...]
    hospitals: tuple[Hospital, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A usable row: a person at an address. The keys of `address` are fields of PracticeLocation."""

    line: int
    clinician: Clinician
    adrs_id: str
    address: Mapping[str, str]


def parse(*, line: int, header: Sequence[str], values: Sequence[str]) -> Row | Rejected:
    """Return what a row says, or why it cannot be used."""
    if len(values) != len(header):
        return Rejected(line, f"expected {len(header)} columns, found {len(values)}")
    # Line breaks and repeated blanks inside a value are dirt as well.
    cells = {name: " ".join(value.split()) for name, value in zip(header, values, strict=True)}
    if problem := _problem(cells):
        return Rejected(line, problem)
    return Row(line=line, clinician=_clinician(cells), adrs_id=cells["adrs_id"], address=_address(cells))


def _problem(cells: Mapping[str, str]) -> str | None:
    if not is_npi(cells["NPI"]):
        return f"NPI {cells['NPI'][:20]!r} is not ten digits with a right check digit"
    for name in REQUIRED_VALUES:
        if not cells[name]:
            return f"{name} is empty"
    for name, value in cells.items():
        if "\x00" in value:
            return f"{name} holds a NUL character"
        if len(value) > LONGEST.get(name, len(value)):
            return f"{name} is longer than {LONGEST[name]} characters"
    if not (cells["zip"].isascii() and cells["zip"].isalnum() and len(cells["zip"]) <= ZIP_PLUS_4):
        return f"zip {cells['zip'][:20]!r} is not a ZIP code"
    return None


def _clinician(cells: Mapping[str, str]) -> Clinician:
    gender, year = cells.get("gndr", "").upper(), cells.get("Grd_yr", "")
    facts: dict[str, str | int | None] = {
        "first_name": cells["frst_nm"],
        "middle_name": cells.get("mid_nm", ""),
        "last_name": cells["lst_nm"],
        "suffix": cells.get("suff", ""),
        "credential": cells.get("Cred", ""),
        "gender": gender if gender in Gender.values else "",
        "medical_school": cells.get("Med_sch", ""),
        "graduation_year": int(year) if year.isascii() and year.isdigit() and int(year) in YEARS else None,
    }
    named = (cells.get(name, "") for name in SPECIALTY_COLUMNS)
    return Clinician(
        npi=cells["NPI"],
        facts=facts,
        specialties=tuple(dict.fromkeys(name for name in named if name)),
        hospitals=tuple(_hospitals(cells).values()),
    )


def _hospitals(cells: Mapping[str, str]) -> dict[str, Hospital]:
    found: dict[str, Hospital] = {}
    for number in HOSPITAL_NUMBERS:
        code, name = cells.get(f"hosp_afl_{number}", ""), cells.get(f"hosp_afl_lbn_{number}", "")
        if not code:
            continue
        code = code.zfill(HOSPITAL_CODE)
        if not (code in found and found[code].name):
            found[code] = Hospital(code, name)
    return found


def _address(cells: Mapping[str, str]) -> dict[str, str]:
    code, phone = cells["zip"], cells["phn_numbr"]
    return {
        "address_line_1": cells["adr_ln_1"],
        "address_line_2": cells.get("adr_ln_2", ""),
        "city": cells["cty"],
        "state": cells["st"].upper(),
        "zip": code.zfill(ZIP if len(code) <= ZIP else ZIP_PLUS_4),
        # 2.12689E+12 has lost its digits: no phone number is better than a wrong one.
        "phone": "" if MANGLED_NUMBER.fullmatch(phone) else phone,
    }
