"""The WSGI entry point of the `api` role."""

import os

import django

from settings.requests import TolerantWSGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.local")
django.setup(set_prefix=False)
application = TolerantWSGIHandler()
