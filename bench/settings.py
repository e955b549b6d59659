"""The local settings with the models of this package; the addresses come from `bench.stack`."""

from settings.local import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "bench"]  # noqa: F405
