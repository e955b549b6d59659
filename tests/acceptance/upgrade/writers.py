"""Load: processes that change the same rows, each with the code of its version."""

from __future__ import annotations

from tests.acceptance.pipeline.services import APPLICATION, OWNER, RELAY, Deployment

# Writers of both versions change the same rows, whose events are in several shards and partitions.
ROWS = 20
# So many times each row is changed after a step before the next one.
SOME = 3
MAKE = f"""
from doctors.models import Doctor
for number in range({ROWS}):
    Doctor.objects.create(first_name="Ada", last_name=f"Byron {{number}}")
"""
# Goes on until a file is there. Whatever fails, fails the test. The reason tells whose events they are.
WRITE = """
from itertools import count
from pathlib import Path
from auditlog import __version__
from auditlog.context import set_reason
from django.db import transaction
from doctors.models import Doctor, Specialty

def turn(number):
    for doctor in Doctor.objects.order_by("pk"):
        doctor.bio = f"{__version__} {number}"
        if hasattr(doctor, "pager"):
            doctor.pager = str(number)
        # Links lock no row of the doctor: here, those of both writers are in one order with its changes.
        with transaction.atomic():
            doctor.save()
            specialty = Specialty.objects.create(name=f"{__version__} {number} {doctor.pk}")
            doctor.specialties.add(specialty)
            specialty.delete()

with set_reason(__version__):
    for number in count():
        turn(number)
        print(number, flush=True)
        if Path(STOP).exists():
            break
"""


class Writer:
    """A process that changes the rows again and again until it is told to stop."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._stop = deployment.folder / "stop"
        code = WRITE.replace("STOP", repr(str(self._stop)))
        self._service = deployment.start("writer", "shell", "-v", "0", "-c", code, roles=APPLICATION)

    def turns(self) -> int:
        """Return how often it has changed all rows."""
        return len(self._service.printed().splitlines())

    def goes_on(self) -> None:
        """Wait until it has changed all rows some more times."""
        before = self.turns()
        self.deployment.wait_until(lambda: self.turns() >= before + SOME, what="more writes")

    def stop(self) -> None:
        """End it at the end of its turn; it must have had no error."""
        self._stop.touch()
        self.deployment.wait_until(lambda: not self._service.is_running(), what="the end of the writer")
        assert self._service.terminate() == 0
        assert "Traceback" not in self._service.logged()


def migrate(deployment: Deployment) -> None:
    """Migrate as the chart does."""
    deployment.run("migrate", "audit_migrate", "--lock-timeout", "10", roles=OWNER)


def begin(deployment: Deployment) -> None:
    """Make the tables, the topics, and the rows that writers change."""
    migrate(deployment)
    deployment.run("topics", "kafka_topics", roles=RELAY)
    deployment.run("make", "shell", "-v", "0", "-c", MAKE, roles=APPLICATION)
