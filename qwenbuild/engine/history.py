"""The engine's history: past builds, and the images that they wrote. Nothing is written."""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwenbuild.plan.diff import is_same, summary
from qwenbuild.specs.project import Project
from qwenbuild.storage.history import Written, written
from qwenbuild.storage.records import DAMAGE, Run, request_fields
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True, slots=True)
class PastImage:
    """An image that was written at an output's path.

    `name` is the name of the cell, empty if unknown. `build` is the number of the build, None if it is not on record.
    `change` says how the request differs from that of the image before. `is_kept`: the store has the image.
    """

    written: Written
    name: str
    build: int | None
    change: str
    is_kept: bool


def builds(engine: Engine, most: int | None) -> list[Run]:
    """Return the builds that had something to do, the newest first. `most` is how many, None for all."""
    with engine.state() as state:
        return state.runs(-1 if most is None else most)


def images(engine: Engine, most: int | None) -> list[PastImage]:
    """Return the images that were written at the selected outputs, the newest first. `most` is how many, None for all.

    An output that no spec declares any more is selected by its path. Raises what `Engine.actions` raises, UsageError
    if nothing is selected.
    """
    with engine.state() as state:
        names = _selected(engine, state)
        found = written(state, names, most)
        requests = request_of(engine, state, {key for it in found for key in (it.key, it.before) if key})
        runs = sorted((run.started_at_s - 0.001, run.number) for run in state.runs())
    return [
        PastImage(it, names[it.path], _build(runs, it.at_s), _change(it, requests),
                  engine.store.blob_path(it.image).exists())
        for it in found
    ]  # fmt: skip


def request_of(engine: Engine, state: State, keys: Collection[str]) -> Mapping[str, Mapping[str, Any] | None]:
    """Return the requests of keys, from the state, else from the provenance in the store; None for an unknown one."""
    recorded, found = state.requests(keys), dict[str, Mapping[str, Any] | None]()
    for key in keys:
        found[key] = None
        with contextlib.suppress(*DAMAGE):
            found[key] = request_fields(recorded[key])
            continue
        found[key] = stored_request(engine.store, key)
    return found


def stored_request(store: Store, key: str) -> Mapping[str, Any] | None:
    """Return the request of a key from the provenance in the store, None if the store has no such image."""
    entry = store.lookup(key)
    provenance = store.provenance(entry) if entry else None
    return (provenance or {}).get("request")


def _selected(engine: Engine, state: State) -> Mapping[str, str]:
    """Return the cells' names by the paths of the outputs that the options select."""
    records, options, project = state.outputs(), engine.effective, engine.project
    actions = engine.actions()
    declared = {action.output for action in actions}
    gone = {name: path for name in options.select for path in _places(project, name) if path in records}
    past = {name: path for name, path in gone.items() if path not in declared}
    found = {path: records[path].name for path in past.values()}
    rest = [name for name in options.select if name not in past]
    if rest or not past:
        chosen = engine.with_options(select=rest).selected(actions)
        found |= {action.output: action.name for action in chosen}
    return found


def _places(project: Project, name: str) -> Iterator[str]:
    """Yield the paths below the output folder that a path of the command line may mean."""
    for folder in (project.searched[0].parent, project.root):
        with contextlib.suppress(ValueError):  # on Windows: a path on another drive
            yield Path(os.path.relpath(folder / name, project.out)).as_posix()


def _build(runs: list[tuple[float, int]], at_s: float) -> int | None:
    """Return the number of the build that ran at a time, None if no build had begun."""
    at = bisect.bisect(runs, (at_s, float("inf")))
    return runs[at - 1][1] if at else None


def _change(image: Written, requests: Mapping[str, Mapping[str, Any] | None]) -> str:
    if not image.before:
        return "the first image"
    old, new = requests.get(image.before), requests.get(image.key)
    if image.before == image.key or (old and new and is_same(old, new)):
        return "another image of the same request"
    return summary(old, new) if old and new else "its request changed"
