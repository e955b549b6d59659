"""Signals that this package sends; others listen, so that it need not know them."""

from __future__ import annotations

from django.dispatch import Signal

# Sent after a transaction that wrote to the outbox has committed; arguments: `using`, the alias. Receivers must
# neither block nor raise: this runs in the writer's thread.
outbox_written = Signal()
