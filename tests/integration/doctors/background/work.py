"""Tasks of the tests: they write what they did into a table, where other processes see it."""

from __future__ import annotations

import os
import signal

from django.contrib.auth.models import Group
from django_tasks import TaskContext, task

from doctors.background import GiveUp


@task
def note(text: str) -> str:
    """Leave a note."""
    Group.objects.create(name=text)
    return text


@task(takes_context=True)
def note_at_attempt(context: TaskContext, wanted: int) -> None:
    """Fail until an attempt, then leave a note."""
    if context.attempt < wanted:
        raise ConnectionRefusedError(f"attempt {context.attempt}\x00")
    Group.objects.create(name=f"attempt {context.attempt}")


@task
def write_and_fail(text: str) -> None:
    """Leave a note and fail."""
    Group.objects.create(name=text)
    raise TimeoutError(text)


@task
def give_up() -> None:
    """Fail for good."""
    raise GiveUp("there is no such address")


@task
def name_nothing() -> object:
    """Return what JSON cannot hold."""
    return object()


@task
def die() -> None:
    """End the worker without a chance to tidy up."""
    os.kill(os.getpid(), signal.SIGKILL)


@task(takes_context=True)
def wait_for(context: TaskContext, name: str) -> None:
    """Say that it has begun, and end when a group of this name appears."""
    Group.objects.create(name=f"begun {context.attempt}")
    while not Group.objects.filter(name=name).exists():
        pass
    Group.objects.create(name=f"ended {context.attempt}")


@task
async def note_later(text: str) -> None:
    """Leave a note from an event loop."""
    await Group.objects.acreate(name=text)
