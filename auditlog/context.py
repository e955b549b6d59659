"""
The circumstances of a write: who, in which request, why. Context managers for applications, over one context variable.

The variable holds an immutable value, so that threads, tasks and nested blocks cannot change each other's.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from structlog.contextvars import bound_contextvars

from auditlog.actors import Actor, os_user, process_actor
from auditlog.request import RequestFacts
from auditlog.text import clean, encode
from auditlog.vocabulary import ActorType

REASON_CHARACTERS = 1_000
# Bytes of the JSON text of extra data: it stands in every event of its block.
EXTRA_BYTES = 16_000


@dataclass(frozen=True, slots=True, eq=False)
class Disabled:
    """A block of code that is not audited."""

    reason: str
    # Database alias and model label of the gaps that are told for good: their events have committed.
    told: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known about the writes of a block of code."""

    request: RequestFacts | None = None
    actor: Actor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    disabled: Disabled | None = None
    # The rendered members of a frame, by what they depend on; shared by nothing but this value.
    rendered: dict[tuple[Actor | None, str | None], str] = field(default_factory=dict, compare=False)


_current: contextvars.ContextVar[Circumstances] = contextvars.ContextVar("auditlog", default=Circumstances())  # noqa: B039


def current() -> Circumstances:
    """Return the circumstances of this thread or task."""
    return _current.get()


@contextlib.contextmanager
def set_actor(actor: Any, *, on_behalf_of: Any = None) -> Iterator[None]:
    """
    Attribute the writes of this block to `actor`: a user, an `Actor`, or the name of a system.

    `on_behalf_of` is the user whom the actor impersonates.
    """
    who = Actor.of(actor)
    if who is not None and on_behalf_of is not None:
        who = Actor(who.id, who.repr, who.type, Actor.of(on_behalf_of))
    with _changed(actor=who):
        yield


@contextlib.contextmanager
def set_system(name: str) -> Iterator[None]:
    """Attribute the writes of this block to a system, and not to the request that they happen in."""
    with _changed(actor=Actor.of(name), request=None):
        yield


@contextlib.contextmanager
def set_extra_data(data: Mapping[str, Any] | None = None, **more: Any) -> Iterator[None]:
    """
    Add facts to `audit.context.extra` of the events of this block; values are stored as JSON.

    Of facts that take over 16,000 bytes together, the beginning is stored: they stand in each of the events.
    """
    with _changed(extra={**current().extra, **(data or {}), **more}):
        yield


@contextlib.contextmanager
def set_reason(reason: str) -> Iterator[None]:
    """Give the reason for the writes of this block."""
    with _changed(reason=clean(reason, limit=REASON_CHARACTERS)):
        yield


@contextlib.contextmanager
def disable_auditlog(*, reason: str = "") -> Iterator[None]:
    """
    Capture nothing in this block: a gap in the audit trail, so say why.

    The first write of each model that goes uncaptured leaves an event that says who made the gap, and the reason.
    """
    with _changed(disabled=Disabled(clean(reason, limit=REASON_CHARACTERS))):
        yield


@contextlib.contextmanager
def request_scope(facts: RequestFacts) -> Iterator[None]:
    """Attribute the writes and the log lines of this block to a request; nothing set inside survives it."""
    token = _current.set(Circumstances(request=facts))
    try:
        with bound_contextvars(**facts.log_fields):
            yield
    finally:
        _current.reset(token)


def actor_of_write() -> Actor | None:
    """Return who acts at this moment: set by code, the request's user, or the management command."""
    now = current()
    if now.actor is not None:
        return now.actor
    return now.request.actor() if now.request is not None else process_actor()


def frame_members() -> str:
    """
    Return the members of `audit` that depend on the circumstances alone, as JSON text without braces.

    Rendered once for each actor and session of a block, so that a write costs a look-up.
    """
    now = current()
    actor = actor_of_write()
    key = (actor, now.request.session() if now.request is not None else None)
    members = now.rendered.get(key)
    if members is None:
        members = now.rendered[key] = render_members(actor=actor, reason=now.reason)
    return members


def render_members(*, actor: Actor | None, reason: str | None) -> str:
    """Return the members for an actor and a reason given by the caller, with the current request's context."""
    why = reason and clean(reason, limit=REASON_CHARACTERS)
    return f'"actor":{encode_actor(actor)},"context":{encode(_context(actor))},"reason":{encode(why)}'


def encode_actor(actor: Actor | None) -> str:
    """Return `audit.actor` as JSON text."""
    return "null" if actor is None else encode(actor.members())


def traceparent() -> str | None:
    """Return the W3C trace context of the current request, if it came with one."""
    request = current().request
    return request.traceparent if request is not None else None


def _context(actor: Actor | None) -> dict[str, Any]:
    now = current()
    facts: dict[str, Any] = now.request.context() if now.request is not None else {}
    if actor is not None and actor.type == ActorType.COMMAND:
        facts["os_user"] = os_user()
    if now.extra:
        facts["extra"] = _bounded(now.extra)
    return facts


def _bounded(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    text = encode(extra)
    size = len(text.encode())
    if size <= EXTRA_BYTES:
        return extra
    return {"beginning": text.encode()[: EXTRA_BYTES // 2].decode(errors="ignore"), "bytes": size}


@contextlib.contextmanager
def _changed(**changes: Any) -> Iterator[None]:
    token = _current.set(replace(current(), rendered={}, **changes))
    try:
        yield
    finally:
        _current.reset(token)
