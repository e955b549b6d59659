"""What one row of the file says."""

from __future__ import annotations

import pytest

from doctors.clinicians.rows import COLUMNS, Hospital, Rejected, Row, parse

USABLE = {
    "NPI": "1234567893",
    "lst_nm": "BYRON",
    "frst_nm": "ADA",
    "gndr": "F",
    "Grd_yr": "1998",
    "pri_spec": "INTERNAL MEDICINE",
    "sec_spec_1": "NEPHROLOGY",
    "adr_ln_1": "1 MAPLE AVE",
    "cty": "EASTHAVEN",
    "st": "CT",
    "zip": "65124660",
    "phn_numbr": "2025550142",
    "hosp_afl_1": "50278",
    "hosp_afl_lbn_1": "SANTA ELENA  MEDICAL CENTER",
    "adrs_id": "CT065124660EA1XXMAXX300",
}


def parsed(**changes: str) -> Row | Rejected:
    cells = USABLE | changes
    return parse(line=12, header=COLUMNS, values=[cells.get(name, "") for name in COLUMNS])


def usable(**changes: str) -> Row:
    row = parsed(**changes)
    assert isinstance(row, Row), row
    return row


def test_a_row_tells_of_a_person_and_an_address() -> None:
    row = usable()

    assert row.line == 12
    assert row.clinician.npi == "1234567893"
    assert row.clinician.facts == {
        "first_name": "ADA",
        "middle_name": "",
        "last_name": "BYRON",
        "suffix": "",
        "credential": "",
        "gender": "F",
        "medical_school": "",
        "graduation_year": 1998,
    }
    assert row.clinician.specialties == ("INTERNAL MEDICINE", "NEPHROLOGY")
    assert row.adrs_id == "CT065124660EA1XXMAXX300"
    assert row.address == {
        "address_line_1": "1 MAPLE AVE",
        "address_line_2": "",
        "city": "EASTHAVEN",
        "state": "CT",
        "zip": "065124660",
        "phone": "2025550142",
    }


@pytest.mark.parametrize(
    ("published", "repaired"),
    [("682", "00682"), ("6512", "06512"), ("36207", "36207"), ("6833949", "006833949"), ("341081869", "341081869")],
)
def test_a_zip_code_gets_its_leading_zeros_back(published: str, repaired: str) -> None:
    assert usable(zip=published).address["zip"] == repaired


@pytest.mark.parametrize("mangled", ["2.12689E+12", "2E+09", "9.47555e+9"])
def test_a_phone_number_in_scientific_notation_is_taken_for_none(mangled: str) -> None:
    assert usable(phn_numbr=mangled).address["phone"] == ""


def test_a_hospital_gets_its_leading_zero_back_and_loses_double_blanks() -> None:
    assert usable().clinician.hospitals == (Hospital("050278", "SANTA ELENA MEDICAL CENTER"),)


def test_a_hospital_named_twice_counts_once_and_keeps_its_name() -> None:
    row = usable(hosp_afl_1="50278", hosp_afl_lbn_1="", hosp_afl_2="050278", hosp_afl_lbn_2="SANTA ELENA")

    assert row.clinician.hospitals == (Hospital("050278", "SANTA ELENA"),)


def test_empty_and_repeated_specialties_are_left_out() -> None:
    row = usable(pri_spec="", sec_spec_1="NEPHROLOGY", sec_spec_3="NEPHROLOGY", sec_spec_4="UROLOGY")

    assert row.clinician.specialties == ("NEPHROLOGY", "UROLOGY")


@pytest.mark.parametrize("year", ["", "19", "MCMXC", "²⁰²⁰"])
def test_what_is_no_year_is_taken_for_none(year: str) -> None:
    assert usable(Grd_yr=year).clinician.facts["graduation_year"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"NPI": "1234567890"}, "NPI '1234567890' is not ten digits with a right check digit"),
        ({"NPI": ""}, "NPI '' is not ten digits with a right check digit"),
        ({"adr_ln_1": " "}, "adr_ln_1 is empty"),
        ({"adrs_id": ""}, "adrs_id is empty"),
        ({"lst_nm": ""}, "lst_nm is empty"),
        ({"cty": "A\x00B"}, "cty holds a NUL character"),
        ({"lst_nm": "B" * 101}, "lst_nm is longer than 100 characters"),
        ({"st": "CONN"}, "st is longer than 2 characters"),
        ({"zip": "06512-4660"}, "zip '06512-4660' is not a ZIP code"),
    ],
)
def test_an_unusable_row_says_why(changes: dict[str, str], reason: str) -> None:
    assert parsed(**changes) == Rejected(line=12, reason=reason)


def test_a_row_of_another_width_is_unusable() -> None:
    assert parse(line=3, header=COLUMNS, values=["1234567893", "BYRON"]) == Rejected(3, "expected 40 columns, found 2")
