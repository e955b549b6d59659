"""
Writes one batch of rows: looks everything up, compares, and writes only what differs.

A batch is idempotent: written again after an unknown outcome, it finds its own rows and leaves them alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models, router, transaction
from django.utils import timezone

from doctors.clinicians.report import Tally
from doctors.clinicians.rows import Clinician, Row
from doctors.models import Department, Doctor, PracticeLocation, Specialty
from doctors.models.querysets import search_tags
from doctors.signals import announce, doctors_written

Facts = Mapping[str, Any]


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
    # Hospitals that are inactive here, and so took none of the doctors whom the file assigns to them.
    refused_assignments: int


def write(batch: Batch) -> Outcome:
    """
    Write a batch in one transaction and return what it did.

    :raises django.db.DatabaseError: if it could not be committed, or nobody knows whether it was.
    """
    with transaction.atomic():
        npis = set(batch.clinicians) | {npi for npi, _ in batch.locations}
        held = {doctor.npi: doctor for doctor in Doctor.objects.filter(npi__in=npis) if doctor.npi}
        # Somebody may have deleted a doctor since an earlier batch: the row at hand tells as much.
        lost = {npi: row.clinician for (npi, _), row in batch.locations.items() if npi not in held}
        described = lost | dict(batch.clinicians)
        facts = {npi: _facts(clinician) for npi, clinician in described.items()}
        new = [Doctor(npi=npi, **facts[npi]) for npi in described if npi not in held]
        differing = {held[npi].pk: facts[npi] for npi in described if npi in held and _differs(held[npi], facts[npi])}
        changed = _update(Doctor, differing, updated_at=timezone.now())
        Doctor.objects.bulk_create(new)
        keys = {npi: doctor.pk for npi, doctor in held.items()} | {
            doctor.npi: doctor.pk for doctor in new if doctor.npi
        }
        persons = {keys[npi]: clinician for npi, clinician in described.items()}
        joined, refused = _link_hospitals(persons, batch.hospitals)
        changed |= _link_specialties(persons) | joined
        changed -= {doctor.pk for doctor in new}
        if changed:
            announce(doctors_written, sender=Doctor, using=router.db_for_write(Doctor), doctor_ids=frozenset(changed))
        unchanged = len(described) - len(new) - len(changed)
        tally = Tally(created=len(new), updated=len(changed), unchanged=unchanged)
        return Outcome(doctors=tally, locations=_write_locations(batch, keys), refused_assignments=refused)


def _facts(clinician: Clinician) -> Facts:
    """Return the columns of a doctor; the tags are those that a save of the specialties would make."""
    return {**clinician.facts, "search_tags": search_tags(clinician.specialties)}


def _write_locations(batch: Batch, doctors: Mapping[str, int]) -> Tally:
    wanted = {(doctors[npi], adrs_id): row.address for (npi, adrs_id), row in batch.locations.items()}
    rows = PracticeLocation.objects.filter(doctor_id__in={doctor_id for doctor_id, _ in wanted})
    held = {(row.doctor_id, row.adrs_id): row for row in rows}
    new = [
        PracticeLocation(doctor_id=doctor_id, adrs_id=adrs_id, **address)
        for (doctor_id, adrs_id), address in wanted.items()
        if (doctor_id, adrs_id) not in held
    ]
    differing = {held[key].pk: facts for key, facts in wanted.items() if key in held and _differs(held[key], facts)}
    changed = _update(PracticeLocation, differing)
    PracticeLocation.objects.bulk_create(new)
    return Tally(created=len(new), updated=len(changed), unchanged=len(wanted) - len(new) - len(changed))


def _differs(instance: models.Model, facts: Facts) -> bool:
    return any(getattr(instance, name) != value for name, value in facts.items())


def _update(model: type[models.Model], wanted: Mapping[int, Facts], **stamp: Any) -> set[int]:
    """
    Put the facts on the rows with these keys, and return the keys of those that were changed.

    Reads the rows once more, locked in the order of their keys, so that imports at the same time neither deadlock nor
    write, and record, the same change twice.
    """
    if not wanted:
        return set()
    locked = model._default_manager.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")
    changed = [row for row in locked if _differs(row, wanted[row.pk])]
    for row in changed:
        for name, value in {**wanted[row.pk], **stamp}.items():
            setattr(row, name, value)
    if changed:
        model._default_manager.bulk_update(changed, sorted({*stamp, *wanted[changed[0].pk]}))
    return {row.pk for row in changed}


def _link_specialties(persons: Mapping[int, Clinician]) -> set[int]:
    names = {name for clinician in persons.values() for name in clinician.specialties}
    held = dict(Specialty.objects.filter(name__in=names).values_list("name", "pk"))
    new = Specialty.objects.bulk_create(Specialty(name=name) for name in sorted(names - held.keys()))
    held |= {specialty.name: specialty.pk for specialty in new}
    wanted = {key: {held[name] for name in clinician.specialties} for key, clinician in persons.items()}
    return _set_links(Doctor.specialties.through, "specialty_id", wanted)[0]


def _link_hospitals(persons: Mapping[int, Clinician], named: Mapping[str, str]) -> tuple[set[int], int]:
    """Return the doctors of whom a hospital was added or removed, and how many assignments were refused."""
    codes = {hospital.code: "" for clinician in persons.values() for hospital in clinician.hospitals}
    held = _departments(codes | dict(named))
    wanted = {key: {held[hospital.code].pk for hospital in clinician.hospitals} for key, clinician in persons.items()}
    closed = {department.pk for department in held.values() if not department.is_active}
    return _set_links(Doctor.departments.through, "department_id", wanted, closed=closed)


def _departments(named: Mapping[str, str]) -> dict[str, Department]:
    """Return the departments by code, made where they are missing and named as the file names them."""
    held = {department.code: department for department in Department.objects.filter(code__in=named)}
    _update(
        Department, {row.pk: {"name": named[code]} for code, row in held.items() if named[code] not in {"", row.name}}
    )
    new = [Department(code=code, name=name or code) for code, name in sorted(named.items()) if code not in held]
    Department.objects.bulk_create(new)
    return {department.code: department for department in (*held.values(), *new)}


def _set_links(
    through: Any, target: str, wanted: Mapping[int, set[int]], *, closed: Collection[int] = ()
) -> tuple[set[int], int]:
    """
    Make the links of these doctors the wanted ones, but add none to what is closed.

    Returns the doctors of whom a link was added or removed, and how many links were refused.
    """
    held: dict[tuple[int, int], int] = {
        (doctor_id, target_id): pk
        for pk, doctor_id, target_id in through.objects.filter(doctor_id__in=wanted).values_list(
            "pk", "doctor_id", target
        )
    }
    asked = {(doctor_id, target_id) for doctor_id, targets in wanted.items() for target_id in targets}
    surplus, missing = held.keys() - asked, asked - held.keys()
    added = sorted(pair for pair in missing if pair[1] not in closed)
    if surplus:
        through.objects.filter(pk__in=[held[pair] for pair in surplus]).delete()
    if added:
        through.objects.bulk_create(through(doctor_id=doctor_id, **{target: key}) for doctor_id, key in added)
    return {doctor_id for doctor_id, _ in (*surplus, *added)}, len(missing) - len(added)
