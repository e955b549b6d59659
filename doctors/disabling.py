"""
Receivers that are not called for a while, by this thread or task alone.

A receiver is not disconnected: a stand-in takes its place among the others and asks, each time, whether the caller has
disabled it. So other threads go on being served, and afterwards the very entry that `connect` made is back in its
place, with its sender, weak reference and `dispatch_uid`.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.dispatch import Signal

Receiver = Callable[..., Any]
# What `Signal.receivers` holds: a key, of (receiver or dispatch_uid, sender); the receiver or a weak reference to it;
# whether it is a coroutine function.
Entry = tuple[Any, ...]
KEY, RECEIVER, IS_ASYNC = range(3)
# Where a stand-in carries what it stands for.
STANDS_FOR = "_stands_for"


class NotConnected(LookupError):
    """The receiver is not connected to this signal for this sender: to disable it would do nothing."""


@dataclass(slots=True, eq=False)
class _Disabled:
    """An entry that at least one block has disabled; by itself, that silences nobody."""

    entry: Entry
    blocks: int = 0

    def stand_in(self) -> Receiver:
        """Return what is called in place of the receiver; holds it no stronger than its entry does."""

        def call(*args: Any, **named: Any) -> Any:
            receiver = _receiver(self.entry)
            return None if receiver is None or self in _here.get() else receiver(*args, **named)

        async def call_async(*args: Any, **named: Any) -> Any:
            receiver = _receiver(self.entry)
            return None if receiver is None or self in _here.get() else await receiver(*args, **named)

        receiver: Any = _receiver(self.entry)
        stand_in: Any = call_async if self.entry[IS_ASYNC] else call
        # Django logs the name of a receiver that raises.
        functools.update_wrapper(stand_in, receiver)
        del stand_in.__wrapped__
        setattr(stand_in, STANDS_FOR, self)
        return stand_in  # type: ignore[no-any-return]


# What this thread or task has disabled.
_here: contextvars.ContextVar[frozenset[_Disabled]] = contextvars.ContextVar("disabled_signals", default=frozenset())


@contextlib.contextmanager
def disable_signals(*signals_and_receivers: tuple[Signal, Receiver, Any]) -> Iterator[None]:
    """
    Do not call these receivers in the block; each is named by signal, receiver and sender, as it was connected.

    Concerns this thread or task alone, and those that it starts with a copy of its context. May be nested.

    :raises NotConnected: if one is not connected so; none is disabled then.
    """
    with contextlib.ExitStack() as stack:
        disabled: set[_Disabled] = set()
        for signal, receiver, sender in signals_and_receivers:
            disabled |= stack.enter_context(_stood_in(signal, receiver, sender))
        token = _here.set(_here.get() | disabled)
        stack.callback(_here.reset, token)
        yield


@contextlib.contextmanager
def _stood_in(signal: Signal, receiver: Receiver, sender: Any) -> Iterator[set[_Disabled]]:
    with signal.lock:
        found = [entry for entry in signal.receivers if _is(entry, receiver, sender)]
        if not found:
            raise NotConnected(f"{receiver!r} is not connected to this signal for the sender {sender!r}.")
        disabled = {_put_in(signal, entry) for entry in found}
    try:
        yield disabled
    finally:
        with signal.lock:
            for one in disabled:
                _take_out(signal, one)


def _put_in(signal: Signal, entry: Entry) -> _Disabled:
    disabled: _Disabled | None = getattr(entry[RECEIVER], STANDS_FOR, None)
    if disabled is None:
        disabled = _Disabled(entry)
        _swap(signal, entry, (entry[KEY], disabled.stand_in(), *entry[IS_ASYNC:]))
    disabled.blocks += 1
    return disabled


def _take_out(signal: Signal, disabled: _Disabled) -> None:
    disabled.blocks -= 1
    if disabled.blocks:
        return
    # None is left where somebody disconnected the receiver in the meantime.
    for entry in signal.receivers:
        if getattr(entry[RECEIVER], STANDS_FOR, None) is disabled:
            _swap(signal, entry, disabled.entry)
            return


def _swap(signal: Signal, old: Entry, new: Entry) -> None:
    # A new list: another thread may be reading the old one.
    signal.receivers = [new if entry is old else entry for entry in signal.receivers]
    signal.sender_receivers_cache.clear()


def _is(entry: Entry, receiver: Receiver, sender: Any) -> bool:
    # As Django does: a sender is known by its identity.
    return bool(entry[KEY][1] == id(sender) and _receiver(entry) == receiver)


def _receiver(entry: Entry) -> Receiver | None:
    """Return the receiver of an entry, also of one whose place is taken; None if it is no longer alive."""
    held = entry[RECEIVER]
    if isinstance(held, weakref.ReferenceType):
        held = held()
    stands_for: _Disabled | None = getattr(held, STANDS_FOR, None)
    return _receiver(stands_for.entry) if stands_for is not None else held
