"""The snapshot of a finished build, from which the no-op fast path sees that nothing changed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from qwenbuild import noop, noop_files, noop_snapshot
from qwenbuild.errors import StateError
from qwenbuild.events import Event, Finished, ImageFinished, Outcome, Started, as_dict, in_words
from qwenbuild.noop_files import InputPrint
from qwenbuild.noop_snapshot import DAMAGE, SETTLED_NS
from qwenbuild.plan.plan import Plan
from qwenbuild.problems import visible
from qwenbuild.routes import Routes
from qwenbuild.specs.project import Project
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State, state_path

from .planning import without_gc

_HERE = "\0"  # stands in a line where the fast path puts a text or a number


class Built(NamedTuple):
    """What a build has found and left.

    `records` are the state's outputs by path, `last_run` is that of the function of this name, `written` the inputs
    that the build wrote itself. `started_ns` is `time.time_ns()` before the first input was read.
    """

    plan: Plan
    routes: Routes
    records: Mapping[str, Output]
    last_run: Mapping[str, Any] | None
    written: Sequence[Path]
    started_ns: int


class _Unsure(Exception):
    """No snapshot can be written: something is uncertain."""


def last_run(state: State) -> Mapping[str, Any] | None:
    """Return the state's last run, None if there was none, an empty table if it can't be read."""
    try:
        return state.last_run()
    except StateError:
        return {}


@without_gc()
def write(project: Project, built: Built, arguments: Sequence[str]) -> None:
    """Write the snapshot of a build that left nothing to do; none if anything is uncertain, or can't be written.

    `arguments` are the build's command line. If the present snapshot is still true, it only gets these in addition.
    """
    root, plan, written = str(project.root), built.plan, built.written
    try:
        asked = noop.Asked(arguments)
        answer = noop.answer(asked, root, len(plan.steps), len(plan.orphans), len(plan.of_stars) + len(plan.remarks))
        inputs = sorted({_below(root, path) for path in plan.inputs if path not in written})
        own = [_below(root, path) for path in (state_path(project.root), *written)]
        outputs = dict(_outputs(plan, built.records))
        folders = _folders(_below(root, project.out), outputs)
        present = _present(root, inputs, folders)
        if present and (asked.build or present.cells):
            noop_snapshot.save(root, present.with_answer(answer))
            return
        from concurrent.futures import ThreadPoolExecutor  # here: plans never use it, and loading it takes 5 ms

        with ThreadPoolExecutor(1) as pool:  # row one-change: hashing 18 MB takes 25 ms, and needs no Python
            after = [None] * len(own) + [built.started_ns] * len(inputs)
            prints = pool.map(partial(_input, root), [*own, *inputs], after)
            columns: list[int] = []
            images: list[bytes] = []
            for _, names in folders:
                found = [outputs[path] for path in names.values()]
                columns += [it.st_size for it in found]
                columns += [it.st_mtime_ns for it in found]
                columns += [it.st_ino for it in found]
                images.append(bytes.fromhex("".join([it.image for it in found])))
            is_whole = not asked.build
            cells = [text for step in plan.steps for text in (step.action.name, step.action.output)] if is_whole else []
            lines = [os.fsencode(part) for part in _lines(plan, built.routes.names)]
            status = [os.fsencode(part) for part in _status(built)] if is_whole else []
        numbers, digests = zip(*prints, strict=True)
        content = noop_snapshot.pack(
            [*chain.from_iterable(numbers), *columns], [*digests, *images], [[answer], lines, status, [*own, *inputs]],
            [(folder, [*names]) for folder, names in folders], os.fsencode("\0".join(cells)),
        )  # fmt: skip
        noop_snapshot.save(root, content)
    except (*DAMAGE, OverflowError, _Unsure):
        return  # without a snapshot the next build takes the slow path


def _below(root: str, path: Path) -> bytes:
    """Return a path as the snapshot keeps it: relative if it is in the project."""
    text = os.path.abspath(path)
    return os.fsencode(os.path.relpath(text, root) if text.startswith(os.path.join(root, "")) else text)


def _outputs(plan: Plan, records: Mapping[str, Output]) -> Iterator[tuple[str, Output]]:
    """Yield the path and the record of each output of a plan, orphans included.

    Raises _Unsure if an output has no record, or is not as recorded.
    """
    edited = {orphan.path for orphan in plan.orphans if orphan.edited}
    for path in [*[step.action.output for step in plan.steps], *[orphan.path for orphan in plan.orphans]]:
        record = records.get(path)
        if record is None or path in edited:
            raise _Unsure
        yield path, record


def _folders(out: bytes, outputs: Iterable[str]) -> list[tuple[bytes, dict[bytes, str]]]:
    """Return the outputs' paths by name, for each folder below the output folder `out`."""
    folders: dict[str, dict[bytes, str]] = {}
    for path in outputs:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[os.fsencode(name)] = path
    return [(os.path.join(out, os.fsencode(folder)), names) for folder, names in folders.items()]


def _present(
    root: str, inputs: Iterable[bytes], folders: Iterable[tuple[bytes, Mapping[bytes, str]]]
) -> noop_snapshot.Snapshot | None:
    """Return the present snapshot if it is still true and knows all of these files."""
    try:
        snapshot = noop_snapshot.read(root)
        known = {folder: {*names} for folder, names in snapshot.folders}
        covers = {*inputs} <= {*snapshot.inputs} and all(
            names.keys() <= known.get(folder, set()) for folder, names in folders
        )
        return snapshot if covers and snapshot.holds() else None
    except DAMAGE:
        return None


def _input(root: str, path: bytes, started_ns: int | None) -> tuple[InputPrint, bytes]:
    """Return the fingerprint and the digest of an input. Raises _Unsure if it may have changed since `started_ns`."""
    absolute = os.path.join(os.fsencode(root), path)
    found = noop_files.input_print(absolute)
    digest = noop_files.input_digest(absolute)
    is_young = started_ns is not None and max(found[1], found[2]) > started_ns - SETTLED_NS
    if is_young or noop_files.input_print(absolute) != found:
        raise _Unsure
    return found, digest


def _lines(plan: Plan, provider: str) -> list[str]:
    """Return the parts of what `--json` prints for this build once nothing is left to do."""
    nothing = dict.fromkeys(plan.counts, 0)
    counts = {**nothing, Outcome.UP_TO_DATE.value: len(plan.steps), "orphans": len(plan.orphans)}
    image = ImageFinished(_HERE, _HERE, Outcome.UP_TO_DATE, "up to date", 0.0)
    finished = Finished(0, 0, len(plan.steps), 0, 0, 0, 0.0, orphans=len(plan.orphans))
    here = json.dumps(_HERE)
    return [
        _line(Started(provider, counts)),
        *_line(image).split(here),
        *_line(finished, seconds=_HERE).split(here),
    ]  # fmt: skip


def _status(built: Built) -> list[str]:
    """Return what `status` shows once nothing is left to do; see `Snapshot`."""
    plan, run = built.plan, built.last_run
    if run == {}:
        raise _Unsure
    declarations = {id(step.action.declaration): step.action.declaration for step in plan.steps}
    numbers = Counter([id(step.action.declaration) for step in plan.steps])
    images = [(declaration.name, numbers[number]) for number, declaration in declarations.items()]
    nothing = Plan([], plan.orphans, built.routes.default.shortest_s(Counter())).summary
    summary = {**nothing, Outcome.UP_TO_DATE.value: len(plan.steps), "event": "status", "last_run": run}
    tables = [{"event": "image", "name": name, Outcome.UP_TO_DATE.value: number} for name, number in images]
    events = [*[json.dumps(table, ensure_ascii=False) for table in tables], json.dumps(summary)]
    last = (str(run["started_at_s"]), in_words(run["summary"])) if run else ("", "")
    shown = [text for name, number in images for text in (visible(name), str(number))]
    return ["".join([f"{event}\n" for event in events]), *last, *shown]


def _line(event: Event, **others: str) -> str:
    return json.dumps({**as_dict(event), **others}, ensure_ascii=False)
