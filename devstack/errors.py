"""What can go wrong with the local stack."""

from __future__ import annotations


class DevstackError(Exception):
    """Something of the local stack could not be fetched, started or stopped; the message says what to do."""


class AlreadyRunning(DevstackError):
    """Another process holds the data directory: `manage.py devstack down` stops it."""


class Stopped(Exception):
    """A signal asked to stop while something was still being started."""
