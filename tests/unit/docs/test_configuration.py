"""The reference names every environment variable and Django setting that the code reads, and no other."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.core.exceptions import ImproperlyConfigured

from settings.env import Environment
from tests.unit.docs.documents import CODE, reference, sources

SECTION = "Environment variables"


class Recording(Environment):
    """Remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.numbers: dict[str, float] = {}

    def text(self, name: str, *, default: str = "", required: bool = False) -> str:
        """Every other method ends here."""
        self.names.add(name)
        return super().text(name, default=default, required=required)

    def integer(self, name: str, *, default: int, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
        """Remember the default too."""
        self.numbers[name] = default
        return super().integer(name, default=default, minimum=minimum, maximum=maximum)

    def number(self, name: str, *, default: float, minimum: float, maximum: float) -> float:
        """Remember the default too."""
        self.numbers[name] = default
        return super().number(name, default=default, minimum=minimum, maximum=maximum)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    """Import the settings of a developer's machine and of production anew, and return what they read."""
    recording = Recording()
    monkeypatch.setattr("settings.env.env", recording)
    for module in ("settings.local", "settings.production"):
        for name in [name for name in sys.modules if name.startswith("settings.") and name != "settings.env"]:
            monkeypatch.delitem(sys.modules, name)
        # Production misses what is required: all names were read before it says so.
        with suppress(ImproperlyConfigured):
            importlib.import_module(module)
    yield recording
    sys.modules.pop("settings.production", None)


def test_every_environment_variable_is_documented_and_every_documented_one_is_read(read: Recording) -> None:
    assert {"DATABASE_URL", "KAFKA_SASL_PASSWORD", "DJANGO_SECURE_HSTS_SECONDS"} <= read.names
    assert reference("configuration").first_column(SECTION) == read.names


def test_documented_numbers_are_the_defaults(read: Recording) -> None:
    documented = {CODE.findall(cells[0])[0]: cells[1] for cells in reference("configuration").rows(SECTION)}
    assert len(read.numbers) > 10
    wrong = {name: documented[name] for name, number in read.numbers.items() if f"`{number}`" not in documented[name]}
    assert wrong == {}


def test_every_django_setting_is_documented_and_every_documented_one_is_read() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources("auditlog", "publishers", "consumers"))
    names = {name for name in re.findall(r"\bAUDITLOG_[A-Z_]+", code) if not name.endswith("_PASSWORD")}
    assert reference("configuration").first_column("Django settings") == names
