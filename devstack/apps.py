"""The Django application: gives `manage.py` the command `devstack`."""

from __future__ import annotations

from django.apps import AppConfig


class DevstackConfig(AppConfig):
    """The local stack."""

    name = "devstack"
    verbose_name = "Local stack"
