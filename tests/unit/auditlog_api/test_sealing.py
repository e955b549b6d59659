"""Sealed texts come back, to this service alone, and tell nobody else what is in them."""

from __future__ import annotations

import base64
import random
import string
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.api.sealing import Unsealable, seal, unseal
from tests.unit.consumers.builders import LAW

HOUR = 3_600
POSITION = ["x", '{"audit.doctors.patient.events": [41217]}']
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())), st.lists, max_leaves=20
)


@LAW
@given(JSON)
def test_what_was_sealed_comes_back(content: Any) -> None:
    sealed = seal(content, salt="test")
    assert unseal(sealed, salt="test", max_age=HOUR) == content
    # Nothing in it has to be escaped in an address.
    assert sealed.replace("-", "").replace("_", "").isalnum()


def test_nobody_can_read_what_is_sealed() -> None:
    sealed = seal(POSITION, salt="test")
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert b"patient" not in raw
    for start in range(len(raw)):
        with pytest.raises(zlib.error):
            zlib.decompress(raw[start:])
    # The same content has another text each time, and more content is not longer.
    assert seal(POSITION, salt="test") != sealed
    assert len(seal(["x", '{"audit.doctors.patient.events": [412179999], "other": [1]}'], salt="test")) == len(sealed)


@given(st.text())
def test_no_other_text_was_sealed(text: str) -> None:
    with pytest.raises(Unsealable):
        unseal(text, salt="test", max_age=HOUR)


def test_a_seal_is_for_one_purpose_and_for_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = seal(POSITION, salt="test")
    with pytest.raises(Unsealable):
        unseal(sealed, salt="other", max_age=HOUR)
    for place in range(0, len(sealed), 7):
        forged = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(Unsealable):
            unseal(forged, salt="test", max_age=HOUR)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + HOUR + 2)
    with pytest.raises(Unsealable):
        unseal(sealed, salt="test", max_age=HOUR)


# One to three steps of bytes: the last letter has six bits that count, four, two.
@pytest.mark.parametrize("size", [0, 100, 300])
def test_a_sealed_text_cannot_be_written_otherwise(size: int) -> None:
    sealed = seal(random.Random(1).randbytes(size).hex(), salt="test")
    assert unseal(sealed, salt="test", max_age=HOUR) is not None
    others = [sealed[:-1] + letter for letter in string.ascii_letters + string.digits + "-_" if letter != sealed[-1]]
    for other in [*others, sealed + "=", sealed + "%", f"{sealed[:8]}!!!!{sealed[8:]}"]:
        with pytest.raises(Unsealable):
            unseal(other, salt="test", max_age=HOUR)


def test_a_seal_outlives_a_change_of_the_secret_key_that_keeps_the_old_one(settings: Any) -> None:
    sealed = seal(POSITION, salt="test")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert unseal(sealed, salt="test", max_age=HOUR) == POSITION
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(Unsealable):
        unseal(sealed, salt="test", max_age=HOUR)
