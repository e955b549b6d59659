"""What gunicorn's configuration does in each worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]
WORKER = """
import gc, types
import django
django.setup()
from settings import server
server.post_worker_init(types.SimpleNamespace(alive=True))
loaded = gc.get_freeze_count()
gc.collect()
import settings.urls
print(loaded > 50_000, gc.get_freeze_count() == loaded, len(gc.get_objects()) < loaded / 10)
"""


def test_what_a_worker_has_loaded_is_out_of_the_garbage_collectors_sight() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "settings.test"}
    done = subprocess.run(
        [sys.executable, "-c", WORKER], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.stdout.strip(), done.returncode) == ("True True True", 0), done.stderr
