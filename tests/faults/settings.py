"""The local settings with the shop in the clinic's place; the addresses come from the deployment."""

from settings.local import *  # noqa: F403

INSTALLED_APPS = [name for name in INSTALLED_APPS if name != "doctors"] + ["tests.faults.shop"]  # noqa: F405
ROOT_URLCONF = "tests.faults.urls"
