"""Compares what the writers say, what committed, what stands on the topics, and what is stored. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.acceptance.pipeline.books import Published
from tests.faults.truth import Change, Truth

SHOP = "shop."
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Account:
    """What was found. Everything but `events` and `duplicates_on_topics` must be empty or zero in every scenario."""

    # Different events that committed.
    events: int
    # Committed, and nowhere on the topics or not in the log; or changes that a writer committed without any event.
    lost: tuple[str, ...]
    # On the topics or in the log, and never committed.
    invented: tuple[str, ...]
    # Objects whose events appear first in another order than that of their commits.
    out_of_order: tuple[str, ...]
    # Records that repeat one of the same id, and those of them that say something else.
    duplicates_on_topics: int
    differing_duplicates: int
    # Changes that are stored twice.
    duplicates_in_log: int

    def violations(self) -> dict[str, object]:
        """Return what must not be."""
        found = {
            "lost": shown(self.lost),
            "invented": shown(self.invented),
            "out of order": shown(self.out_of_order),
            "duplicates that differ": self.differing_duplicates,
            "duplicates in the log": self.duplicates_in_log,
        }
        return {name: value for name, value in found.items() if value}


def shown(found: Sequence[str]) -> tuple[str, ...]:
    """Return the first of what was found, and how many more there are."""
    more = len(found) - SHOWN
    return (*found[:SHOWN], f"and {more} more") if more > 0 else tuple(found)


def account(
    *,
    truth: Truth,
    committed: Sequence[str],
    published: Sequence[Published],
    stored: Sequence[Mapping[str, Any]],
    chunks: Collection[str] = (),
    disowned: Collection[str] = (),
) -> Account:
    """
    Return the account; `published` stands in the order of offsets.

    `chunks` are ids of stored contents; `disowned` those of events that are known to be of commits which were undone.
    """
    ids, on_topics = {*committed, *disowned}, {record.event_id for record in published}
    in_log = {row["id"] for row in stored}.union(chunks)
    owned = [row for row in stored if row["id"] not in disowned]
    told = Counter(change for row in owned if (change := change_of(row)) is not None)
    wanted = Counter(truth.committed)
    surplus = told - wanted
    first = list(firsts(published))
    return Account(
        events=len(ids),
        lost=(
            *(f"not on the topics: {event_id}" for event_id in sorted(ids - on_topics)),
            *(f"not in the log: {event_id}" for event_id in sorted(ids - in_log)),
            *(f"without an event: {change}" for change in (wanted - told).elements()),
        ),
        invented=(
            *(f"on the topics, never committed: {event_id}" for event_id in sorted(on_topics - ids)),
            *(f"in the log, never committed: {event_id}" for event_id in sorted(in_log - ids)),
            *(f"never made: {change}" for change in surplus if change not in wanted),
        ),
        out_of_order=(
            *disordered_sequences(first),
            *disordered_changes([record for record in first if record.event_id not in disowned], truth),
        ),
        duplicates_on_topics=len(published) - len(on_topics),
        differing_duplicates=len({(r.event_id, r.topic, r.partition, r.key, r.value) for r in published})
        - len(on_topics),
        duplicates_in_log=sum(count for change, count in surplus.items() if change in wanted)
        + len(stored)
        - len({row["id"] for row in stored}),
    )


def is_content(record: Published) -> bool:
    """Tell whether a record is part of a large value."""
    return record.topic.endswith(".auditlog.blobs")


def firsts(published: Iterable[Published]) -> Iterable[Published]:
    """Yield the first record of each event."""
    seen: set[str] = set()
    for record in published:
        if record.event_id not in seen:
            seen.add(record.event_id)
            yield record


def disordered_sequences(first: Iterable[Published]) -> list[str]:
    """Return the keys of topics on which a lower sequence follows a higher one."""
    sequences = defaultdict(list)
    for record in first:
        if not is_content(record):
            sequences[record.topic, record.key].append(record.event["source"]["sequence"])
    return [f"{topic} {key}" for (topic, key), found in sequences.items() if found != sorted(found)]


def disordered_changes(first: Iterable[Published], truth: Truth) -> list[str]:
    """Return the objects whose row changes stand on the topic in another order than their writers made them."""
    wanted: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for change in truth.committed:
        if not change.action.startswith("m2m"):
            wanted[change.model, change.pk].append(change)
    found: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for record in first:
        if is_content(record):
            continue
        event = record.event
        made = change_of(row_of(event))
        if made is not None and event["op"] in {"c", "u", "d"}:
            found[made.model, made.pk].append(made)
    return [
        f"{model} {pk}"
        for (model, pk), changes in found.items()
        if [c for c in changes if c in set(wanted[model, pk])] != in_order(model, wanted[model, pk], changes)
    ]


def in_order(model: str, wanted: list[Change], found: list[Change]) -> list[Change]:
    """Return those of the changes wanted that were found, in the order in which they must appear."""
    # Several writers share a counter, and its value tells their order.
    ordered = sorted(wanted, key=lambda change: int(change.token)) if model == "shop.counter" else wanted
    there = set(found)
    return [change for change in ordered if change in there]


def row_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of a topic in the shape of a row of the log."""
    audit = event["audit"]
    return {
        **{name: audit[name] for name in ("model", "object_pk", "action", "m2m")},
        **{name: event[name] for name in ("before", "after")},
    }


def change_of(row: Mapping[str, Any]) -> Change | None:
    """Return what an event says as its writer would; None for what no writer makes."""
    if not row["model"].startswith(SHOP) or row["action"] == "snapshot":
        return None
    if row["m2m"] is not None:
        token = ",".join(sorted(row["m2m"]["added"] or row["m2m"]["removed"]))
    else:
        image = row["after"] or row["before"]
        token = str(image["value"] if row["model"] == "shop.counter" else image["text"])
    return Change(row["model"], row["object_pk"], row["action"], token)
