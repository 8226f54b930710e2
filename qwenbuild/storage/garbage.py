"""Collects the garbage of the store that all of a user's projects share: knows what these still refer to.

What is removed of the rest is for `collect` to say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from . import gc as collect
from . import lock
from .gc import Collected, Collection
from .state import State
from .store import Store, beside, default_root


def collect_garbage(
    environ: Mapping[str, str],
    *,
    older_than_s: float | None = None,
    max_bytes: int | None = None,
    unreferenced: bool = False,
    spare_referenced: bool = True,
    dry_run: bool = False,
) -> tuple[Collection, Collected | None]:
    """Remove images from the store that all projects share (see `collect`); return what was planned and what was done.

    With `dry_run` nothing is removed. Raises StateError and ProjectError where a project's state or
    lock can't be read: it can't be said then what is still in use.
    """
    store = Store(default_root(environ))
    referenced: set[str] = set()
    for root in store.projects():
        with contextlib.closing(State(root / ".qwenbuild" / "state.sqlite3", create=False)) as state:
            named = {(output.key, output.image) for output in state.outputs().values()}
        known = lock.read(root / lock.NAME, shown=str(root / lock.NAME))
        named |= {(pin.key, pin.image) for pins in (known.pins, known.theirs or {}) for pin in pins.values()}
        for key, image in named:
            entry = store.lookup(key)
            referenced.add(key if entry is None or entry.image == image else beside(key, image))
    planned = collect.plan_gc(
        store, older_than_s=older_than_s, max_bytes=max_bytes, unreferenced=unreferenced,
        referenced_keys=referenced, spare_referenced=spare_referenced,
    )  # fmt: skip
    return planned, None if dry_run else collect.apply_gc(store, planned)
