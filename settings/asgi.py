"""The ASGI entry point of the `api` role."""

import os

import django

from settings.requests import TolerantASGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.local")
django.setup(set_prefix=False)
application = TolerantASGIHandler()
