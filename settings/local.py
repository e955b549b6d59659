"""A developer's machine: everything has a default; the default of manage.py."""

from settings import local_stack
from settings.env import env

DEVSTACK_DATA_DIR = local_stack.data_dir(env)
DEVSTACK_GIVEN = local_stack.given(env)
env.fallbacks = local_stack.fallbacks(env)

from settings.base import *  # noqa: E402, F403

INSTALLED_APPS = [*INSTALLED_APPS, "devstack"]

env.check()
