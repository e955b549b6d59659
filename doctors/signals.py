"""
Signals that this domain sends; receivers are in `doctors.receivers`.

All are sent inside the transaction of the change, so that what a receiver does to the outside world belongs into
`transaction.on_commit`.
"""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.db.transaction import TransactionManagementError
from django.dispatch import Signal

# A doctor may be booked from now on. Provides: doctor, activated_by.
doctor_activated = Signal()
# A doctor may not be booked any more. Provides: doctor, deactivated_by.
doctor_deactivated = Signal()
# Provides: appointment, patient, doctor.
appointment_booked = Signal()
# Provides: appointment, cancelled_by, reason.
appointment_cancelled = Signal()
# Doctors were written by statements that send no signals of their own, as set-based ones do. Provides: doctor_ids.
doctors_written = Signal()


def announce(signal: Signal, *, sender: type[models.Model], using: str, **named: Any) -> None:
    """
    Send a signal so that a receiver that raises is logged by Django, and harms neither the others nor the change.

    :raises django.db.DatabaseError: if a receiver left a failed statement behind. The transaction is lost then, and its
        commit would be a rollback that nobody hears of.
    """
    if not signal.has_listeners(sender):
        return
    with transaction.atomic(using=using):
        signal.send_robust(sender=sender, **named)
        if transaction.get_rollback(using=using):
            raise TransactionManagementError("A receiver left a failed statement behind.")
