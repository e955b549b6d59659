"""How a receiver is connected: always with a sender where models send, and with an identity of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.dispatch import Signal


@dataclass(frozen=True, slots=True)
class Connection:
    """A receiver of a signal; `sender` is None for signals that only this domain sends."""

    signal: Signal
    receiver: Callable[..., Any]
    sender: Any = None

    @property
    def uid(self) -> str:
        """The `dispatch_uid`, which makes connecting again harmless."""
        return f"{self.receiver.__module__}.{self.receiver.__qualname__}"

    def connect(self) -> None:
        """Connect the receiver unless it is connected."""
        self.signal.connect(self.receiver, sender=self.sender, dispatch_uid=self.uid)
