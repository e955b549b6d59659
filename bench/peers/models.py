"""The clinician's shape, audited by each of the peers."""

from __future__ import annotations

import pghistory

from bench.models import Clinician


class WithDjangoAuditlog(Clinician):
    """Registered in `bench.peers.apps`."""


# Its triggers have no masks: the column is left out.
@pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent(), exclude=["tax_id"])
class WithPghistory(Clinician):
    """Every column but the masked one, at every change."""


# The table of its links has no class of its own to decorate.
pghistory.track(pghistory.InsertEvent(), pghistory.DeleteEvent(), obj_field=None, model_name="LinkEvent")(
    WithPghistory.specialties.through
)
