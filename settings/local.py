"""A developer's machine: everything has a default; the default of manage.py."""

from settings.base import *  # noqa: F403
from settings.env import env

env.check()
