"""What can go wrong with the local stack."""

from __future__ import annotations


class DevstackError(Exception):
    """Something of the local stack could not be fetched, started or stopped; the message says what to do."""
