"""Clinician files to import, and people who may use the API."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.dispatch import Signal
from rest_framework.test import APIClient

from auditlog.roles import Role
from doctors.background.outcomes import Retries
from doctors.background.worker import Worker
from doctors.clinicians.generator import write_file
from tests.conftest import ConnectAs

ROWS = 60

Importer = Callable[..., dict[str, Any]]
Edit = Callable[[Path, Callable[[int, dict[str, str]], None]], None]
Client = Callable[..., APIClient]
MakeWorker = Callable[..., Worker]
Listen = Callable[..., None]
Heard = Callable[..., list[tuple[Any, dict[str, Any]]]]

# Pauses are longer than a test.
RETRIES = Retries(attempts=3, first_seconds=100, longest_seconds=150)


@pytest.fixture
def kill(transactional_db: None, connect_as: ConnectAs) -> Callable[[int], None]:
    """End a server process of the application's role, as an outage would."""

    def run(pid: int) -> None:
        # Waits until it is gone, 5 seconds at most.
        found = connect_as(Role.APP).execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert found.fetchone() == (True,)

    return run


@pytest.fixture
def client_of(transactional_db: None) -> Client:
    """Return an API client of a new user with the named permissions on the domain."""

    def make(*codenames: str, username: str = "ada", superuser: bool = False) -> APIClient:
        user = get_user_model().objects.create_user(username=username, is_superuser=superuser)
        found = Permission.objects.filter(content_type__app_label="doctors", codename__in=codenames)
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        client = APIClient()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def make_worker(transactional_db: None) -> MakeWorker:
    """Return a worker for the background tasks; `run_until_idle()` makes one attempt at each that is due."""

    def make(name: str = "one") -> Worker:
        return Worker(name=name, stop=threading.Event(), poll_seconds=0.01, retries=RETRIES, keep=timedelta(days=1))

    return make


@pytest.fixture
def clinician_file(tmp_path: Path) -> Path:
    """A generated file of sixty rows."""
    path = tmp_path / "clinicians.csv"
    write_file(path, rows=ROWS, seed=3)
    return path


@pytest.fixture
def import_file() -> Importer:
    """Run the command, and return its report."""

    def run(path: Path, *options: str) -> dict[str, Any]:
        output = io.StringIO()
        call_command("import_clinicians", str(path), "--json", *options, stdout=output)
        report: dict[str, Any] = json.loads(output.getvalue())
        return report

    return run


@pytest.fixture
def edit() -> Edit:
    """Change the rows of a file in place: `change(number, record)`, numbers from 0."""

    def run(path: Path, change: Callable[[int, dict[str, str]], None]) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        names = [name.strip() for name in header]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for number, row in enumerate(rows):
                record = dict(zip(names, row, strict=True))
                change(number, record)
                writer.writerow(record.values())

    return run


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Connect a receiver for the length of a test."""
    connected: list[tuple[Signal, Callable[..., Any], Any]] = []

    def connect(signal: Signal, receiver: Callable[..., Any], sender: Any = None) -> None:
        signal.connect(receiver, sender=sender, weak=False)
        connected.append((signal, receiver, sender))

    yield connect
    for signal, receiver, sender in connected:
        assert signal.disconnect(receiver, sender=sender)


@pytest.fixture
def heard(listen: Listen) -> Heard:
    """Return the sender and the arguments of each signal from now on."""

    def hear(signal: Signal, sender: Any = None) -> list[tuple[Any, dict[str, Any]]]:
        told: list[tuple[Any, dict[str, Any]]] = []

        def note(sender: Any, signal: Signal, **named: Any) -> None:
            told.append((sender, named))

        listen(signal, note, sender)
        return told

    return hear
