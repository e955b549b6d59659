"""
Reads environment variables, each also as `NAME_FILE`, and names everything that is wrong at once.

A settings module reads a name with one of the typed methods; a missing or malformed value is noted and a placeholder
returned, so that `check()` at the end of the module can list every problem in one error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

T = TypeVar("T")
N = TypeVar("N", int, float)

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})


class Environment:
    """A view of the process environment that remembers what was missing or malformed."""

    def __init__(self) -> None:
        # Not the library's casts: they take a value that begins with $ for the name of another variable.
        self._source = FileAwareMapping(cache=False)
        self.problems: dict[str, str] = {}
        self.fallbacks: dict[str, str] = {}  # values of names that are not set
        self.production = False

    def text(self, name: str, *, default: str = "", required: bool = False) -> str:
        """Return the value of `name`; `required` names have no default in production."""
        try:
            raw: str = self._source.get(name, "")
            raw.encode()
        except (OSError, ValueError) as exc:
            what = "is not UTF-8" if isinstance(exc, UnicodeError) else f"cannot be read: {exc}"
            self.problems[name] = f"{name}_FILE {what}" if self._is_in_file(name) else what
            return default
        value = raw.strip() or self.fallbacks.get(name, "")
        if value:
            return value
        if required and self.production:
            self.problems[name] = "is not set"
        return default

    def integer(self, name: str, *, default: int, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
        """Return a whole number between `minimum` and `maximum`, both included."""

        parse = _between(int, minimum, maximum)
        return self._parsed(name, default, parse, f"must be a whole number from {minimum} to {maximum}")

    def number(self, name: str, *, default: float, minimum: float, maximum: float) -> float:
        """Return a number, whole or not, between `minimum` and `maximum`, both included."""

        parse = _between(float, minimum, maximum)
        return self._parsed(name, default, parse, f"must be a number from {minimum:g} to {maximum:g}")

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return a truth value: 1, true, yes, on or 0, false, no, off."""

        def parse(raw: str) -> bool:
            word = raw.lower()
            if word in TRUE_WORDS:
                return True
            if word in FALSE_WORDS:
                return False
            raise ValueError

        return self._parsed(name, default, parse, "must be true or false")

    def words(self, name: str, *, default: tuple[str, ...] = (), required: bool = False) -> list[str]:
        """Return a comma-separated list without empty entries."""
        raw = self.text(name, default=",".join(default), required=required)
        return [word.strip() for word in raw.split(",") if word.strip()]

    def choice(self, name: str, *, options: tuple[str, ...], default: str) -> str:
        """Return one of `options`, compared without regard to case."""

        def parse(raw: str) -> str:
            found = {option.lower(): option for option in options}
            return found[raw.lower()]

        return self._parsed(name, default, parse, f"must be one of {', '.join(options)}")

    def matching(self, name: str, pattern: str, *, default: str, expectation: str) -> str:
        """Return a value that matches a regular expression from its beginning to its end."""

        def parse(raw: str) -> str:
            if not re.fullmatch(pattern, raw):
                raise ValueError
            return raw

        return self._parsed(name, default, parse, f"must be {expectation}")

    def origins(self, name: str) -> list[str]:
        """Return a comma-separated list of web origins: scheme and host."""
        return self._parsed(name, [], _origins, "must be origins like https://example.org, separated by commas")

    def database(self, name: str, *, default: str, required: bool = False) -> dict[str, Any] | None:
        """Return Django's settings for a `postgres://` address, or None where the name is unset and has no default."""
        raw = self.text(name, default=default, required=required)
        if not raw:
            return None
        try:
            parts = urlsplit(raw)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
            # Never the value itself: it holds a password.
            self.problems[name] = "must look like postgres://user:password@host:port/name"
            return None
        config: dict[str, Any] = dict(environ.Env.db_url_config(raw))
        config["ENGINE"] = "django.db.backends.postgresql"
        config["PORT"] = str(port or "")
        return config

    def secret_url(self, name: str, *, schemes: tuple[str, ...], example: str) -> str:
        """Return an address that may hold a password, empty where the name is unset: errors never show it."""
        raw = self.text(name)
        try:
            parts = urlsplit(raw)
            is_wrong = bool(raw) and (parts.scheme not in schemes or not parts.hostname or parts.port == 0)
        except ValueError:
            is_wrong = True
        if is_wrong:
            self.problems[name] = f"must look like {example}"
            return ""
        return raw

    def check(self) -> None:
        """
        Refuse to go on when anything was wrong.

        :raises ImproperlyConfigured: naming every missing or malformed variable.
        """
        if self.problems:
            lines = [f"  {name}: {problem}" for name, problem in sorted(self.problems.items())]
            raise ImproperlyConfigured("Environment variables are missing or wrong:\n" + "\n".join(lines))

    def _parsed(self, name: str, default: T, parse: Callable[[str], T], expectation: str) -> T:
        raw = self.text(name)
        if not raw:
            return default
        try:
            return parse(raw)
        except (ValueError, KeyError):
            # What is mounted as a file may be a secret that was given to the wrong name.
            shown = "" if self._is_in_file(name) else f", not {raw[:40]!r}"
            self.problems[name] = f"{expectation}{shown}"
            return default

    def _is_in_file(self, name: str) -> bool:
        return bool(os.environ.get(f"{name}_FILE"))


def _origins(raw: str) -> list[str]:
    words = [word.strip() for word in raw.split(",") if word.strip()]
    if not all(re.fullmatch(r"https?://[^\s/,]+", word) for word in words):
        raise ValueError
    return words


def _between(read: Callable[[str], N], minimum: N, maximum: N) -> Callable[[str], N]:
    def parse(raw: str) -> N:
        value = read(raw)
        if not minimum <= value <= maximum:
            raise ValueError
        return value

    return parse


env = Environment()
