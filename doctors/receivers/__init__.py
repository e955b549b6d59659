"""
What happens when something of this domain is written: one module for each concern, all of them listed here.

A receiver translates and hands over. It changes the instance that is about to be written, or writes a row that belongs
to it; everything that leaves the database waits for the commit, robustly, so that its failure harms nobody else.
"""

from __future__ import annotations

from doctors.receivers import cache, departments, directory, doctor, mails, photos, specialties
from doctors.receivers.connection import Connection

# In the order in which the receivers of one signal run.
CONNECTIONS: tuple[Connection, ...] = (
    *doctor.CONNECTIONS,
    *photos.CONNECTIONS,
    *departments.CONNECTIONS,
    *specialties.CONNECTIONS,
    *cache.CONNECTIONS,
    *mails.CONNECTIONS,
    *directory.CONNECTIONS,
)


def connect_all() -> None:
    """Connect every receiver, once however often this is called."""
    for connection in CONNECTIONS:
        connection.connect()
