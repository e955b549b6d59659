"""
Makes a file of the official format, with its dirt, about people who do not exist.

NPIs begin with 2, which the registry has issued to nobody, and have right check digits. The same seed gives the same
file, byte for byte.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TextIO

from doctors.clinicians import names
from doctors.clinicians.rows import COLUMNS
from doctors.npi import check_digit

# Nine digits each, without the check digit. Even the longest file, each row about another person, stays below the end.
FIRST_UNISSUED, END_OF_NPIS = 200_000_000, 300_000_000
NPI_STEP_MAXIMUM = 9
MOST_ROWS = 10_000_000
# How many addresses a clinician has, and how often.
LOCATIONS = ((1, 60), (2, 25), (3, 10), (5, 5))
NO_PHONE_SHARE, MANGLED_PHONE_SHARE = 0.25, 0.05
HOSPITAL_SHARE, SECOND_SPECIALTY_SHARE = 0.4, 0.2

Record = dict[str, str]


def write_file(path: Path, *, rows: int, seed: int) -> None:
    """Write a file of `rows` rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        write(file, rows=rows, seed=seed)


def write(file: TextIO, *, rows: int, seed: int) -> None:
    """Write the header, with the blanks of the published one, and `rows` rows."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([COLUMNS[0], *(f" {name}" for name in COLUMNS[1:])])
    for record, _ in zip(_records(Random(seed)), range(rows), strict=False):  # noqa: S311 - no secret
        writer.writerow([record.get(name, "") for name in COLUMNS])


def _records(random: Random) -> Iterator[Record]:
    number = FIRST_UNISSUED
    while True:
        number += random.randint(1, NPI_STEP_MAXIMUM)
        person = _person(random, f"{number}{check_digit(str(number))}")
        counts, weights = zip(*LOCATIONS, strict=True)
        for position in range(random.choices(counts, weights)[0]):
            yield person | _address(random, position)


def _person(random: Random, npi: str) -> Record:
    gender = random.choice("FM")
    specialties = random.sample(names.SPECIALTIES, 3)
    others = specialties[1 : 1 + (random.random() < SECOND_SPECIALTY_SHARE) * random.randint(1, 2)]
    hospitals = random.sample(names.HOSPITALS, random.randint(1, 4)) if random.random() < HOSPITAL_SHARE else []
    return {
        "NPI": npi,
        "Ind_PAC_ID": str(random.randint(10**8, 10**10 - 1)),
        "Ind_enrl_ID": f"I{random.randint(2004, 2024)}{random.randint(101, 1231):04}{random.randint(1, 2_000):06}",
        "lst_nm": random.choice(names.LAST_NAMES),
        "frst_nm": random.choice(names.FIRST_NAMES[gender]),
        "mid_nm": random.choice(names.MIDDLE_NAMES),
        "suff": random.choice(names.SUFFIXES),
        "gndr": gender,
        "Cred": random.choice(names.CREDENTIALS),
        "Med_sch": random.choice(names.SCHOOLS),
        "Grd_yr": str(random.randint(1968, 2020)),
        "pri_spec": specialties[0],
        **{f"sec_spec_{position}": name for position, name in enumerate(others, start=1)},
        "sec_spec_all": ", ".join(others),
        **{f"hosp_afl_{position}": code for position, (code, _) in enumerate(hospitals, start=1)},
        **{f"hosp_afl_lbn_{position}": name for position, (_, name) in enumerate(hospitals, start=1)},
        "ind_assgn": random.choice("YM"),
        "grp_assgn": "M",
    }


def _address(random: Random, position: int) -> Record:
    city, state, prefix = random.choice(names.CITIES)
    house, street = random.randint(1, 9_999), random.choice(names.STREETS)
    zip_code = prefix + random.choice(("", f"{random.randint(1, 9_999):04}"))
    second = random.choice(names.SECOND_LINES)
    return {
        "adr_ln_1": f"{house} {street}",
        "adr_ln_2": second,
        "cty": city,
        "st": state,
        # A spreadsheet took the code for a number.
        "zip": zip_code.lstrip("0"),
        "phn_numbr": _phone(random),
        "adrs_id": f"{state}{zip_code:0<9}{city[:2]}{house}X{street[:2]}XX{position}{random.randint(0, 99):02}",
    }


def _phone(random: Random) -> str:
    # Exchange 555 with lines 0100 to 0199 is kept free for fiction.
    phone = f"{random.randint(201, 989)}55501{random.randint(0, 99):02}"
    kind = random.random()
    if kind < NO_PHONE_SHARE:
        return ""
    return f"{int(phone):.5E}" if kind < NO_PHONE_SHARE + MANGLED_PHONE_SHARE else phone
