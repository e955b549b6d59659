"""What `helm test` runs in `manage.py shell`: makes a specialty and removes it, and waits for both in the audit log."""

import os
import time

from auditlog.context import set_reason
from auditlog.models import AuditLog
from doctors.models import Specialty

name = f"helm test {time.time_ns()}"
with set_reason("helm test"):
    made = Specialty.objects.create(name=name)
    key = str(made.pk)
    made.delete()

deadline = time.monotonic() + float(os.environ["WAIT_SECONDS"])
actions: list[str] = []
while len(actions) < 2 and time.monotonic() < deadline:
    time.sleep(0.5)
    events = AuditLog.objects.filter(model="doctors.specialty", object_pk=key, reason="helm test").order_by("sequence")
    actions = [event.action for event in events]
if actions != ["create", "delete"]:
    raise SystemExit(f"Of {name!r} the audit log has {actions} after {os.environ['WAIT_SECONDS']} seconds.")
print(f"{name!r} was created and deleted, and the audit log says so.")
