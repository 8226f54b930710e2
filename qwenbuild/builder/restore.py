"""Restoring: reads images from the store, verifies them, and copies them to `out/` in batches.

Most of the cost is the wait for the disk, so a batch waits once. An output is recorded only after
`Outputs.place` has returned: after a power cut, no record may exist without its file. If only
the record is lost, the next plan recognises the file by its bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from qwenbuild.errors import QwenbuildError
from qwenbuild.plan.plan import Step
from qwenbuild.storage.outputs import Copy, Outputs
from qwenbuild.storage.store import Store

from .keep import keep_replaced

_MOST_FILES, _MOST_BYTES = 128, 64_000_000  # of a batch: interrupts and progress wait for its end

Restored = tuple[Step, os.stat_result | QwenbuildError | None]
"""A step and its result: the output's file status, an error, or None if the stored bytes can't be used."""


def batches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield the steps in batches for `restore`, in order. Each step has an entry."""
    batch: list[Step] = []
    size = 0
    for step in steps:
        size_bytes = step.entry.size_bytes if step.entry else 0
        if batch and (len(batch) == _MOST_FILES or size + size_bytes > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(step)
        size += size_bytes
    if batch:
        yield batch


def restore(steps: Sequence[Step], store: Store, outputs: Outputs) -> list[Restored]:
    """Copy each step's image to its output, and return the results. Holds one image in memory at a time."""
    ended: list[Restored] = []
    copies: list[tuple[Step, Copy]] = []
    for step in steps:
        try:
            copy = _copied(step, store, outputs)
        except QwenbuildError as error:
            ended.append((step, error))
            continue
        if copy is None:
            ended.append((step, None))
        else:
            copies.append((step, copy))
    placed = outputs.place([copy for _, copy in copies])
    return ended + [(step, found) for (step, _), found in zip(copies, placed, strict=True)]


def _copied(step: Step, store: Store, outputs: Outputs) -> Copy | None:
    """Return the copy, or None if the stored bytes are not the action's image; raises StoreError, OutputError."""
    entry, action = step.entry, step.action
    assert entry is not None
    image = store.image(entry, action.key, action.size)
    if image is None:
        return None
    store.touch(entry)
    keep_replaced(store, outputs.path(action.output), step.seen)
    return outputs.copy(action.output, store.blob_path(entry.image), image, step.seen)
