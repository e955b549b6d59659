"""
Frames: what only Python knows of an instance whose write is under way, handed from the receivers to the compilers.

A frame is opened by `pre_save` or `pre_delete` and closed by its `post_` signal. It can only ever land on a write of
its own object: an INSERT finds it by the instance itself, an UPDATE or DELETE by the key in its WHERE clause. What a
failing write left behind is dropped when its statement fails, at the next write of the object, or with the request.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models

# More open frames of one model than this cannot be writes under way: they were left behind by failing ones.
LEFTOVER_LIMIT = 1_000


@dataclass(slots=True)
class Frame:
    """An instance that is being saved or deleted."""

    instance: models.Model
    # Labels of the tables that the write may touch: the model's and those of its concrete parents.
    labels: tuple[str, ...]
    # The primary key as text in each of them; None before an INSERT has made it.
    key: str | None
    repr: str | None
    # False where AUDITLOG_DISABLE_ON_RAW_SAVE excludes this write.
    wanted: bool = True
    captured: set[str] = field(default_factory=set)


class Frames:
    """The open frames of a context, by label."""

    def __init__(self) -> None:
        self._by_label: dict[str, dict[int, Frame]] = {}

    def open(self, frame: Frame) -> None:
        """Add a frame; a former one of the same instance is replaced."""
        for label in frame.labels:
            frames = self._by_label.setdefault(label, {})
            if len(frames) >= LEFTOVER_LIMIT and frame.key is None:
                frames.clear()
            frames[id(frame.instance)] = frame

    def close(self, instance: models.Model, labels: Iterable[str]) -> Frame | None:
        """Take the frame of `instance` out and return it."""
        found = None
        for label in labels:
            frame = self._by_label.get(label, {}).pop(id(instance), None)
            found = frame or found
        return found if found is not None and found.instance is instance else None

    def of_instance(self, label: str, instance: Any) -> Frame | None:
        """Return the frame of this very instance: another object may have got the id of a dead one."""
        frame = self._by_label.get(label, {}).get(id(instance))
        return frame if frame is not None and frame.instance is instance else None

    def of_keys(self, label: str, keys: Iterable[str]) -> list[Frame]:
        """Return the frames of the objects with these keys."""
        frames = self._by_label.get(label)
        if not frames:
            return []
        wanted = frozenset(keys)
        return [frame for frame in frames.values() if frame.key in wanted]

    def of_label(self, label: str) -> list[Frame]:
        """Return all open frames of a model."""
        return list(self._by_label.get(label, {}).values())

    def drop(self, frames: Iterable[Frame]) -> None:
        """Forget frames whose statement failed."""
        for frame in frames:
            self.close(frame.instance, frame.labels)


_frames: contextvars.ContextVar[Frames | None] = contextvars.ContextVar("auditlog_frames", default=None)
_labels: contextvars.ContextVar[tuple[tuple[str, dict[str, str]], ...]] = contextvars.ContextVar(
    "auditlog_m2m_labels", default=()
)


def current_frames() -> Frames:
    """Return the frames of this thread or task, made on first use."""
    frames = _frames.get()
    if frames is None:
        frames = Frames()
        _frames.set(frames)
    return frames


@contextlib.contextmanager
def frames_scope() -> Iterator[None]:
    """Begin with no frames, and leave none behind."""
    token = _frames.set(None)
    labels = _labels.set(())
    try:
        yield
    finally:
        _labels.reset(labels)
        _frames.reset(token)


def open_labels(through: str, labels: dict[str, str]) -> None:
    """Hold the texts of the targets of links that are about to be added or removed."""
    _labels.set((*((name, known) for name, known in _labels.get() if name != through), (through, labels)))


def close_labels(through: str) -> None:
    """Forget the texts held for a through table."""
    _labels.set(tuple((name, known) for name, known in _labels.get() if name != through))


def held_labels(through: str) -> dict[str, str] | None:
    """Return the texts of targets by key, where a receiver held some for this through table."""
    for name, labels in _labels.get():
        if name == through:
            return labels
    return None
