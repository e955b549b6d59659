"""
Writes one batch of rows: looks everything up, compares, and writes only what differs.

A batch is idempotent: written again after an unknown outcome, it finds its own rows and leaves them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from doctors.clinicians.report import Tally
from doctors.clinicians.rows import Clinician, Row
from doctors.models import Department, Doctor, PracticeLocation, Specialty


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are committed together: each person and each address of a person once."""

    clinicians: Mapping[str, Clinician]  # by NPI: persons whom no earlier batch described
    locations: Mapping[tuple[str, str], Row]  # by NPI and address id
    # The hospitals of these persons: code -> name, empty where the file has none or an earlier batch has used it.
    hospitals: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a committed batch did."""

    doctors: Tally
    locations: Tally


def write(batch: Batch) -> Outcome:
    """
    Write a batch in one transaction and return what it did.

    :raises django.db.DatabaseError: if it could not be committed, or nobody knows whether it was.
    """
    with transaction.atomic():
        doctors, changed, created = _write_doctors(batch)
        changed |= _link_specialties(batch, doctors)
        changed |= _link_hospitals(batch, doctors)
        changed -= created
        described = len(batch.clinicians)
        tally = Tally(created=len(created), updated=len(changed), unchanged=described - len(created) - len(changed))
        return Outcome(doctors=tally, locations=_write_locations(batch, doctors))


def _write_doctors(batch: Batch) -> tuple[dict[str, Doctor], set[int], set[int]]:
    """Return the doctors of the batch by NPI, and the keys of those that changed and of those that are new."""
    wanted = set(batch.clinicians) | {npi for npi, _ in batch.locations}
    held = {doctor.npi: doctor for doctor in Doctor.objects.filter(npi__in=wanted) if doctor.npi}
    new = [Doctor(npi=npi, **clinician.facts) for npi, clinician in batch.clinicians.items() if npi not in held]
    now = timezone.now()
    changed = []
    for npi, clinician in batch.clinicians.items():
        if npi in held and _differs(held[npi], clinician.facts):
            held[npi].updated_at = now
            changed.append(held[npi])
    Doctor.objects.bulk_create(new)
    _update(Doctor, changed, {"updated_at", *(name for row in batch.clinicians.values() for name in row.facts)})
    held |= {doctor.npi: doctor for doctor in new if doctor.npi}
    return held, {doctor.pk for doctor in changed}, {doctor.pk for doctor in new}


def _write_locations(batch: Batch, doctors: Mapping[str, Doctor]) -> Tally:
    keys = {(doctors[npi].pk, adrs_id): row for (npi, adrs_id), row in batch.locations.items()}
    rows = PracticeLocation.objects.filter(doctor_id__in={doctor_id for doctor_id, _ in keys})
    held = {(row.doctor_id, row.adrs_id): row for row in rows}
    new = [
        PracticeLocation(doctor_id=doctor_id, adrs_id=adrs_id, **row.address)
        for (doctor_id, adrs_id), row in keys.items()
        if (doctor_id, adrs_id) not in held
    ]
    changed = [held[key] for key, row in keys.items() if key in held and _differs(held[key], row.address)]
    PracticeLocation.objects.bulk_create(new)
    _update(PracticeLocation, changed, {name for row in keys.values() for name in row.address})
    return Tally(created=len(new), updated=len(changed), unchanged=len(keys) - len(new) - len(changed))


def _differs(instance: models.Model, facts: Mapping[str, Any]) -> bool:
    """Put the facts on the instance, and tell whether one of them was another."""
    differing = [name for name, value in facts.items() if getattr(instance, name) != value]
    for name in differing:
        setattr(instance, name, facts[name])
    return bool(differing)


def _update(model: type[models.Model], rows: Sequence[Any], fields: Iterable[str]) -> None:
    if rows:
        model._default_manager.bulk_update(rows, sorted(fields))


def _link_specialties(batch: Batch, doctors: Mapping[str, Doctor]) -> set[int]:
    names = {name for clinician in batch.clinicians.values() for name in clinician.specialties}
    held = dict(Specialty.objects.filter(name__in=names).values_list("name", "pk"))
    new = Specialty.objects.bulk_create(Specialty(name=name) for name in sorted(names - held.keys()))
    held |= {specialty.name: specialty.pk for specialty in new}
    wanted = {
        doctors[npi].pk: {held[name] for name in clinician.specialties} for npi, clinician in batch.clinicians.items()
    }
    return _set_links(Doctor.specialties.through, "specialty_id", wanted)


def _link_hospitals(batch: Batch, doctors: Mapping[str, Doctor]) -> set[int]:
    held = _departments(batch.hospitals)
    wanted = {
        doctors[npi].pk: {held[hospital.code] for hospital in clinician.hospitals}
        for npi, clinician in batch.clinicians.items()
    }
    return _set_links(Doctor.departments.through, "department_id", wanted)


def _departments(named: Mapping[str, str]) -> dict[str, int]:
    """Return the keys of the departments by code, made where they are missing and named as the file names them."""
    held = {department.code: department for department in Department.objects.filter(code__in=named)}
    renamed = [row for code, row in held.items() if named[code] and row.name != named[code]]
    for department in renamed:
        department.name = named[department.code]
    _update(Department, renamed, ["name"])
    new = [Department(code=code, name=name or code) for code, name in sorted(named.items()) if code not in held]
    Department.objects.bulk_create(new)
    return {department.code: department.pk for department in (*held.values(), *new)}


def _set_links(through: Any, target: str, wanted: Mapping[int, set[int]]) -> set[int]:
    """Make the links of these doctors exactly the wanted ones; return the doctors of whom one was added or removed."""
    held: dict[tuple[int, int], int] = {
        (doctor_id, target_id): pk
        for pk, doctor_id, target_id in through.objects.filter(doctor_id__in=wanted).values_list(
            "pk", "doctor_id", target
        )
    }
    asked = {(doctor_id, target_id) for doctor_id, targets in wanted.items() for target_id in targets}
    surplus, missing = held.keys() - asked, sorted(asked - held.keys())
    if surplus:
        through.objects.filter(pk__in=[held[pair] for pair in surplus]).delete()
    if missing:
        through.objects.bulk_create(through(doctor_id=doctor_id, **{target: key}) for doctor_id, key in missing)
    return {doctor_id for doctor_id, _ in (*surplus, *missing)}
