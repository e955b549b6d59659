"""Who acted, stored by value: it must outlive the user's account."""

from __future__ import annotations

import getpass
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from auditlog.text import clean
from auditlog.vocabulary import ActorType

REPR_CHARACTERS = 255
SECRET_OPTION = re.compile(r"(?i)(password|passwd|secret|token|key|credential)")
URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
MASK = "***"


class Actor(msgspec.Struct, frozen=True):
    """`audit.actor` of an event."""

    id: str | None
    repr: str | None
    type: str
    # Whom the actor impersonates.
    on_behalf_of: Actor | None = None

    def members(self) -> dict[str, Any]:
        """Return `audit.actor`."""
        other = self.on_behalf_of
        impersonated = None if other is None else {"id": other.id, "repr": other.repr}
        return {"id": self.id, "repr": self.repr, "type": self.type, "on_behalf_of": impersonated}

    @classmethod
    def of(cls, who: Any, *, kind: ActorType | None = None) -> Actor | None:
        """Return the actor that a user, an actor or None stands for; text names a system."""
        if who is None or isinstance(who, Actor):
            return who
        if isinstance(who, str):
            return cls(id=None, repr=clean(who, limit=REPR_CHARACTERS), type=kind or ActorType.SYSTEM)
        if getattr(who, "is_anonymous", False):
            return cls(id=None, repr=None, type=ActorType.ANONYMOUS)
        name = who.get_username() if hasattr(who, "get_username") else str(who)
        return cls(id=str(who.pk), repr=clean(str(name), limit=REPR_CHARACTERS), type=kind or ActorType.USER)


@lru_cache(maxsize=1)
def process_actor() -> Actor | None:
    """Return the management command that this process runs as its actor; None in servers, workers and tests."""
    return command_actor(sys.argv)


def command_actor(argv: list[str]) -> Actor | None:
    """Return the management command that a command line runs as its actor; None where it runs none."""
    program = Path(argv[0]) if argv else Path()
    # `python -m django` runs the package's own file.
    is_django = program.name in {"manage.py", "django-admin"} or program.parts[-2:] == ("django", "__main__.py")
    if not is_django or len(argv) == 1:
        return None
    return Actor(id=None, repr=clean(command_line(argv), limit=REPR_CHARACTERS), type=ActorType.COMMAND)


@lru_cache(maxsize=1)
def os_user() -> str | None:
    """Return the operating system's name of who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def command_line(argv: list[str]) -> str:
    """Return a command line without what looks like a secret: values of such options, credentials in addresses."""
    words = [Path(argv[0]).name]
    hide_next = False
    for word in argv[1:]:
        name, equals, _value = word.partition("=")
        secret = word.startswith("-") and bool(SECRET_OPTION.search(name))
        if hide_next and not word.startswith("-"):
            words.append(MASK)
        else:
            words.append(f"{name}={MASK}" if secret and equals else URL_CREDENTIALS.sub(MASK, word))
        hide_next = secret and not equals
    return " ".join(words)
