"""Signals that this package sends; others listen, so that it need not know them."""

from __future__ import annotations

from django.dispatch import Signal

# Sent after a transaction that wrote to the outbox has committed; arguments: `using`, the alias. Receivers must
# neither block nor raise: this runs in the writer's thread.
outbox_written = Signal()

# Sent after each INSERT, UPDATE and DELETE of the ORM that wrote rows, of any model, inside the transaction: also after
# set-based ones, which send none of Django's signals. The sender is the model of the table: for links that of the
# through table. A receiver that raises harms nobody. Arguments:
# - `using`, the alias, and `operation`;
# - `instances`, those of an INSERT;
# - `named_keys`, as text: those that the condition of an UPDATE or DELETE of a registered model names, if it names any;
# - `framed`: whether an instance is being saved or deleted, so that Django's own signals tell of it.
table_written = Signal(use_caching=True)
