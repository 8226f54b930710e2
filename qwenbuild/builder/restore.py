"""Restoring: reads images from the store, verifies them, and copies them to `out/` in batches.

Most of the cost is the wait for the disk, so a batch waits once. An output is recorded only after
`Outputs.place` has returned: after a power cut, no record may exist without its file. If only
the record is lost, the next plan recognises the file by its bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from qwenbuild.errors import QwenbuildError
from qwenbuild.plan.plan import Step
from qwenbuild.storage.outputs import Copy, Outputs
from qwenbuild.storage.store import Store

from .keep import keep_replaced

_T = TypeVar("_T")

MOST_IMAGES: Final = 128
"""The images of a batch: interrupts and progress wait for its end."""

MOST_BYTES: Final = 64_000_000
"""The size of a batch's images, if it has more than one."""

Restored = tuple[Step, os.stat_result | QwenbuildError | None]
"""A step and its result: the output's file status, an error, or None if the stored bytes can't be used."""


def batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield the steps in batches for `restore`, in order. Each step has an entry."""
    batch: list[Step] = []
    size = 0
    for step in steps:
        size_bytes = step.entry.size_bytes if step.entry else 0
        if batch and (len(batch) == MOST_IMAGES or size + size_bytes > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(step)
        size += size_bytes
    if batch:
        yield batch


def restore(steps: Sequence[Step], store: Store, outputs: Outputs) -> list[Restored]:
    """Copy each step's image to its output, and return the results. Holds one image in memory at a time."""
    return place(steps, outputs, lambda step: _copied(step, store, outputs))


def place(
    wanted: Iterable[_T], outputs: Outputs, copied: Callable[[_T], Copy | None]
) -> list[tuple[_T, os.stat_result | QwenbuildError | None]]:
    """Write outputs, and return each one's file status or error, None if `copied` returned None.

    `copied` returns the copy that becomes the output; it raises StoreError and OutputError.
    """
    ended: list[tuple[_T, os.stat_result | QwenbuildError | None]] = []
    copies: list[tuple[_T, Copy]] = []
    for each in wanted:
        try:
            copy = copied(each)
        except QwenbuildError as error:
            ended.append((each, error))
            continue
        if copy is None:
            ended.append((each, None))
        else:
            copies.append((each, copy))
    placed = outputs.place([copy for _, copy in copies])
    return ended + [(each, found) for (each, _), found in zip(copies, placed, strict=True)]


def _copied(step: Step, store: Store, outputs: Outputs) -> Copy | None:
    """Return the copy, or None if the stored bytes are not the action's image; raises StoreError, OutputError."""
    entry, action = step.entry, step.action
    assert entry is not None
    image = store.image(entry, action.key, action.size)
    if image is None:
        return None
    store.touch(entry.key)
    keep_replaced(store, outputs.path(action.output), step.seen)
    return outputs.copy(action.output, store.blob_path(entry.image), image, step.seen)
