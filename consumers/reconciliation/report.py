"""What `audit_reconcile` says: a report for programs, sentences for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from auditlog.partitions import time_of
from auditlog.queries.accounts import Window
from consumers.reasons import GapKind
from consumers.reconciliation.account import Account
from consumers.reconciliation.chain import Gap
from consumers.reconciliation.comparison import Ids
from consumers.reconciliation.forgotten import Changed
from consumers.reconciliation.repair import Repaired

# Ids in the sentences for people; the report names up to NAMED_AT_MOST.
NAMED = 10


@dataclass(slots=True)
class Report:
    """The outcome of one comparison."""

    window: Window
    account: Account
    # Where the ledger begins, if the window was asked to begin earlier.
    accounted_since: datetime | None = None
    # By topic, where the topics themselves were read.
    lost_on_topic: dict[str, Ids] = field(default_factory=dict)
    # What the ledger has forgotten, and is not what it was when it was compared.
    forgotten: list[Changed] = field(default_factory=list)
    repaired: Repaired | None = None
    # Pairs of events that do not fit, where the chains were checked.
    gaps: list[Gap] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is missing anywhere."""
        is_unrecoverable = self.repaired is not None and self.repaired.unrecoverable
        is_changed = any(found.is_missing_some for found in self.forgotten)
        return not (self.account.missing or self._off_topic or is_unrecoverable or self._unexplained or is_changed)

    def members(self) -> dict[str, Any]:
        """Return the report as JSON members."""
        account, repaired = self.account, self.repaired or Repaired()
        off_topic = [event_id for ids in self.lost_on_topic.values() for event_id in ids.named]
        return {
            "from": self.window.since.isoformat(),
            "to": self.window.until.isoformat(),
            "accounted_since": self.accounted_since and self.accounted_since.isoformat(),
            "committed": account.committed,
            "published": account.published,
            "stored": account.stored,
            "missing": _texts(account.missing_ids),
            "missing_count": account.missing,
            "pending": _texts(account.pending_ids),
            "lost_on_topic": _texts(off_topic),
            "lost_on_topic_count": self._off_topic,
            "unaccounted": account.unaccounted,
            "unaccounted_ids": _texts(account.unaccounted_ids),
            "forgotten": [found.members() for found in self.forgotten],
            "restored": {
                "read_model": _texts(repaired.to_read_model),
                "topic": _texts(repaired.to_topic),
            },
            "unrecoverable": _texts(repaired.unrecoverable),
            "gaps": [gap.members() for gap in self.gaps],
        }

    def sentences(self) -> str:
        """Return the report for people."""
        account = self.account
        window = f"From {self.window.since.isoformat()} to {self.window.until.isoformat()}"
        lines = [f"{window}: {account.committed} committed, {account.published} published, {account.stored} stored."]
        if self.accounted_since is not None:
            lines.append(
                f"What is older than {self.accounted_since.isoformat()} was compared with what was remembered of it."
            )
        if account.missing:
            waiting = f" {len(account.pending_ids)} of them wait in the outbox." if account.pending_ids else ""
            missing = _listed(account.missing_ids, account.missing)
            lines.append(f"{account.missing} MISSING in the audit log: {missing}.{waiting}")
        else:
            lines.append("Nothing is missing.")
        for topic, ids in self.lost_on_topic.items():
            if ids.count:
                lines.append(f"{ids.count} LOST on {topic}: {_listed(ids.named, ids.count)}.")
        if account.unaccounted:
            named = _listed(account.unaccounted_ids, account.unaccounted)
            lines.append(f"{account.unaccounted} stored events are in neither the outbox nor the ledger: {named}.")
        lines += [f"CHANGED since it was compared: {found}." for found in self.forgotten]
        lines += [f"Gap: {gap}" for gap in self.gaps]
        if self._unexplained:
            lines.append(f"{self._unexplained} UNEXPLAINED gaps in the chains of images.")
        return "\n".join([*lines, *self._repairs()])

    def _repairs(self) -> list[str]:
        if self.repaired is None:
            return []
        found = self.repaired
        lines = [f"Restored: {len(found.to_read_model)} in the audit log, {len(found.to_topic)} on the topics."]
        if found.unrecoverable:
            lines.append(
                f"{len(found.unrecoverable)} UNRECOVERABLE, on neither side: "
                f"{_listed(found.unrecoverable, len(found.unrecoverable))}."
            )
        return lines

    @property
    def _unexplained(self) -> int:
        return sum(gap.kind is GapKind.UNEXPLAINED for gap in self.gaps)

    @property
    def _off_topic(self) -> int:
        return sum(ids.count for ids in self.lost_on_topic.values())


def _texts(event_ids: Sequence[UUID]) -> list[str]:
    return [str(event_id) for event_id in event_ids]


def _listed(event_ids: Sequence[UUID], count: int) -> str:
    named = ", ".join(f"{event_id} ({time_of(event_id):%F %T})" for event_id in event_ids[:NAMED])
    return named + (", …" if count > NAMED else "")
