"""
Texts that are given away and come back: only this service can read, make or date them.

Cursors say how much of each topic is stored, also to those who may not see that there is such a topic. Fernet
(https://github.com/fernet/spec), with keys out of SECRET_KEY and SECRET_KEY_FALLBACKS.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac

# Texts are as long as the next multiple of this before they are encrypted: their length tells next to nothing.
STEP_BYTES = 128


class Unsealable(ValueError):
    """The text was not made by this service for this purpose, or is too old."""


def seal(content: Any, *, salt: str) -> str:
    """Return content of JSON as an ASCII text that fits in an address."""
    # Halves of letters are no UTF-8, and `json.loads` takes them all the same.
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")
    packed = zlib.compress(text)
    padded = packed.ljust(-(-len(packed) // STEP_BYTES) * STEP_BYTES, b"\0")
    return _keys(salt).encrypt(padded).decode().rstrip("=")


def unseal(text: str, *, salt: str, max_age: int) -> Any:
    """
    Return what was sealed up to `max_age` seconds ago.

    :raises Unsealable: if nothing was.
    """
    token = text + "=" * (-len(text) % 4)
    try:
        padded = _keys(salt).decrypt(token, ttl=max_age)
        # Decoding drops what is no letter of base64, and the bits of the last one that are none of a byte.
        is_as_sealed = base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode().rstrip("=") == text
    # A letter outside of ASCII is no text of ours either.
    except (InvalidToken, ValueError) as exc:
        raise Unsealable from exc
    if not is_as_sealed:
        raise Unsealable
    return json.loads(zlib.decompressobj().decompress(padded))


def _keys(salt: str) -> MultiFernet:
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    digests = (salted_hmac(salt, "", secret=secret, algorithm="sha256").digest() for secret in secrets)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
