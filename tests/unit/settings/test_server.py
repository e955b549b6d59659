"""What gunicorn's configuration does in each worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
BEGIN = """
import gc, types
import django
django.setup()
from settings import server
server.post_worker_init(types.SimpleNamespace(alive=True))
"""
FROZEN = """
loaded = gc.get_freeze_count()
gc.collect()
import settings.urls
print(loaded > 50_000, gc.get_freeze_count() == loaded, len(gc.get_objects()) < loaded / 10)
"""


# Before Django's own receiver, which forgets what was found out, it would be of no use.
ORDER = """
from django.core.signals import request_started
from django.db import close_old_connections
from auditlog.open_connections import trust_silent_ones
called = request_started._live_receivers(sender=None)[0]
print(called.index(close_old_connections) < called.index(trust_silent_ones))
"""


@pytest.mark.parametrize(
    ("looks", "says"),
    [
        pytest.param(FROZEN, "True True True", id="what is loaded is out of the garbage collector's sight"),
        pytest.param(ORDER, "True", id="a request asks nobody whether a connection is open"),
    ],
)
def test_a_worker_is_prepared(looks: str, says: str) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "settings.test"}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + looks], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout.strip(), done.returncode) == (says, 0), done.stderr
