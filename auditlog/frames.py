"""
Frames: what only Python knows of an instance whose write is under way, handed from the receivers to the compilers.

A frame is opened by `pre_save` or `pre_delete` and closed by its `post_` signal. It can only ever land on a write of
its own object: an INSERT finds it by the instance itself, an UPDATE or DELETE by the key in its WHERE clause. What is
left behind is dropped when a statement fails, when another frame is opened after its own write was captured (a later
receiver raised), with its instance (an earlier receiver raised), and with the request; where an UPDATE found no row,
no later UPDATE or DELETE of the key takes its text.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import models


@dataclass(slots=True, eq=False)
class Frame:
    """An instance that is being saved or deleted."""

    # Not held: a frame that was left behind must not keep it alive, and goes with it.
    instance: weakref.ref[models.Model]
    number: int
    # Labels of the tables that the write may touch: the model's and those of its concrete parents.
    labels: tuple[str, ...]
    # The primary key as text in each of them; None before an INSERT has made it.
    key: str | None
    repr: str | None
    # False where AUDITLOG_DISABLE_ON_RAW_SAVE excludes this write.
    wanted: bool
    # Those of the labels whose row was written.
    captured: set[str] = field(default_factory=set)
    # Whether a statement that names no keys may have been its write.
    assumed: bool = False
    # Whether an UPDATE found no row of its key: only the INSERT of the instance itself can follow.
    found_no_row: bool = False


class Frames:
    """The open frames of a context, each model's in the order in which they were opened."""

    def __init__(self) -> None:
        # A context that is copied for another thread takes a reference to this object along.
        self.thread_id = threading.get_ident()
        self._by_label: dict[str, dict[int, Frame]] = {}
        self._by_key: dict[tuple[str, str], dict[int, Frame]] = {}
        self._done: list[Frame] = []

    def open(
        self, instance: models.Model, *, labels: tuple[str, ...], key: str | None, text: str | None, wanted: bool
    ) -> None:
        """Add a frame; a former one of the same instance is replaced, those that are done are forgotten."""
        self.drop(self._done)
        self._done.clear()
        number = id(instance)
        frame = Frame(weakref.ref(instance, partial(self._forget, number, labels)), number, labels, key, text, wanted)
        for label in labels:
            self._remove(label, number)
            self._by_label.setdefault(label, {})[number] = frame
            if key is not None:
                self._by_key.setdefault((label, key), {})[number] = frame

    def close(self, instance: models.Model, labels: tuple[str, ...]) -> Frame | None:
        """Take the frame of `instance` out and return it."""
        frame = self.of_instance(labels[0], instance)
        if frame is not None:
            self.drop([frame])
        return frame

    def of_instance(self, label: str, instance: Any) -> Frame | None:
        """Return the frame of this very instance: another object may have got the id of a dead one."""
        frame = self._by_label.get(label, {}).get(id(instance))
        return frame if frame is not None and frame.instance() is instance else None

    def of_keys(self, label: str, keys: Iterable[str]) -> list[Frame]:
        """Return the frames of the objects with these keys: of each the one opened last, whose write is under way."""
        return [next(reversed(frames.values())) for key in keys if (frames := self._by_key.get((label, key)))]

    def of_label(self, label: str) -> list[Frame]:
        """Return all open frames of a model."""
        return list(self._by_label.get(label, {}).values())

    def captured(self, label: str, frames: Iterable[Frame]) -> None:
        """Note that the rows of these frames in the table of `label` were captured."""
        for frame in frames:
            frame.captured.add(label)
            if frame.captured.issuperset(frame.labels):
                self._done.append(frame)

    def drop(self, frames: Iterable[Frame]) -> None:
        """Forget frames."""
        for frame in frames:
            for label in frame.labels:
                if self._by_label.get(label, {}).get(frame.number) is frame:
                    self._remove(label, frame.number)

    def _forget(self, number: int, labels: tuple[str, ...], dead: weakref.ref[models.Model]) -> None:
        for label in labels:
            frame = self._by_label.get(label, {}).get(number)
            if frame is not None and frame.instance is dead:
                self._remove(label, number)

    def _remove(self, label: str, number: int) -> None:
        frame = self._by_label.get(label, {}).pop(number, None)
        if frame is None or frame.key is None:
            return
        frames = self._by_key[label, frame.key]
        del frames[number]
        if not frames:
            del self._by_key[label, frame.key]


_frames: contextvars.ContextVar[Frames | None] = contextvars.ContextVar("auditlog_frames", default=None)
_labels: contextvars.ContextVar[tuple[tuple[str, dict[str, str]], ...]] = contextvars.ContextVar(
    "auditlog_m2m_labels", default=()
)


def current_frames() -> Frames:
    """Return the frames of this thread or task, made on first use: never those of the thread that gave its context."""
    frames = _frames.get()
    if frames is None or frames.thread_id != threading.get_ident():
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
