"""Set-based writes of doctors, which send no signals: they keep to the same rules as a save."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from doctors.keys import draw_keys
from doctors.signals import announce, doctors_written

LONGEST_TAG = 100


def search_tags(specialties: Iterable[str]) -> list[str]:
    """Return the tags of a doctor with these specialties; ordered here, since each database has an order of its own."""
    return sorted({name[:LONGEST_TAG] for name in specialties})


class DoctorQuerySet(models.QuerySet[Any]):
    """Doctors."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        """
        Insert doctors as a save would write them: checked, normalized, each with a slug that holds its final key.

        Draws all keys in one statement. Where the database resolves conflicts, nobody knows which instance became a
        row: those without a key stay without one.

        :raises django.core.exceptions.ValidationError: before anything is written.
        """
        doctors = list(objs)
        if not doctors:
            return doctors
        self._for_write = True
        for doctor in doctors:
            doctor.keep_rules()
        keyless = [doctor for doctor in doctors if doctor.pk is None]
        for doctor, key in zip(keyless, draw_keys(self.model, count=len(keyless), using=self.db), strict=True):
            doctor.pk = key
        for doctor in doctors:
            doctor.make_slug()
        with transaction.atomic(using=self.db, savepoint=False):
            made = super().bulk_create(doctors, *args, **options)
            self._announce_written(doctor.pk for doctor in made)
        if options.get("ignore_conflicts") or options.get("update_conflicts"):
            for doctor in keyless:
                doctor.pk = None
        return made

    def update_search_tags(self, keys: Iterable[int]) -> list[Any]:
        """
        Make the tags of doctors those of their specialties, and return the doctors with nothing else loaded.

        Locks the doctors, in the order of their keys: of two transactions that change the specialties of one, the
        second one sees both changes.
        """
        with transaction.atomic(using=self.db):
            doctors = self.model._base_manager.using(self.db)
            rows = doctors.filter(pk__in=set(keys)).only("search_tags", "updated_at").order_by("pk")
            held = {doctor.pk: doctor for doctor in rows.select_for_update(no_key=True)}
            names: defaultdict[int, list[str]] = defaultdict(list)
            links = self.model.specialties.through._base_manager.using(self.db).filter(doctor_id__in=held)
            for key, name in links.values_list("doctor_id", "specialty__name"):
                names[key].append(name)
            wanted = {key: search_tags(names[key]) for key in held}
            changed = [doctor for key, doctor in held.items() if doctor.search_tags != wanted[key]]
            for doctor in changed:
                doctor.search_tags, doctor.updated_at = wanted[doctor.pk], timezone.now()
            if changed:
                doctors.bulk_update(changed, ["search_tags", "updated_at"])
                self._announce_written(doctor.pk for doctor in changed)
        return list(held.values())

    def _announce_written(self, keys: Iterable[int]) -> None:
        announce(doctors_written, sender=self.model, using=self.db, doctor_ids=frozenset(keys))
