"""Tests: the local settings on the databases and brokers that the test run started, with short timings."""

from settings.local import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.samples"]

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

AUDITLOG_ANSWER_STEP_SECONDS = 0
