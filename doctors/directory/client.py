"""The directory's interface: one resource for each doctor, put whole and removed."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from doctors.background import GiveUp

NOT_FOUND = 404
SERVER_ERRORS = 500
# Answers that ask for another attempt: request timeout, too early, too many requests.
TRY_AGAIN = frozenset({408, 425, 429})


class DirectoryUnavailable(Exception):
    """The directory does not answer, or asks for another attempt."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token is for the directory alone."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow none: the answer is an error."""


def put(doctor_id: int, entry: Mapping[str, Any]) -> None:
    """
    Make the directory show this of a doctor; safe to repeat.

    :raises DirectoryUnavailable: if it should be tried again.
    :raises GiveUp: if the directory will never take it.
    """
    _request("PUT", doctor_id, json.dumps(entry).encode())


def remove(doctor_id: int) -> None:
    """Make the directory show nothing of a doctor; safe to repeat. Raises what `put` raises."""
    _request("DELETE", doctor_id, None)


def _request(method: str, doctor_id: int, body: bytes | None) -> None:
    headers = {"Content-Type": "application/json"}
    if settings.DIRECTORY_TOKEN:
        headers["Authorization"] = f"Bearer {settings.DIRECTORY_TOKEN}"
    url = f"{settings.DIRECTORY_URL.rstrip('/')}/doctors/{doctor_id}"
    # The setting admits http and https only.
    request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        opener.open(request, timeout=settings.DIRECTORY_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as exc:
        with exc:
            _refused(method, exc.code)
    except (OSError, http.client.HTTPException) as exc:
        raise DirectoryUnavailable(f"The directory cannot be reached: {type(exc).__name__}") from exc


def _refused(method: str, status: int) -> None:
    if method == "DELETE" and status == NOT_FOUND:
        return
    if status in TRY_AGAIN or status >= SERVER_ERRORS:
        raise DirectoryUnavailable(f"The directory answers {status}.")
    raise GiveUp(f"The directory refuses {method} with {status}.")
