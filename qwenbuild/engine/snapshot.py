"""The snapshot of a finished build, from which the no-op fast path sees that nothing changed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from qwenbuild import noop
from qwenbuild.plan.plan import Plan
from qwenbuild.specs.project import Project
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import state_path


def write(
    project: Project, plan: Plan, records: Mapping[str, Output], arguments: Sequence[str], written: Sequence[Path],
    started_ns: int,
) -> None:  # fmt: skip
    """Write the snapshot of a build that left nothing to do. Writes none if an output has no record.

    `records` are the state's outputs by path, `arguments` the build's command line, `written` the inputs
    that the build wrote itself. `started_ns` is `time.time_ns()` before the first input was read.
    """
    folders: dict[str, list[noop.Expected]] = {}
    for step in plan.steps:
        record = records.get(step.action.output)
        if record is None:
            return
        folder, _, name = record.path.rpartition("/")
        folders.setdefault(folder, []).append((name, record.st_size, record.st_mtime_ns, record.st_ino))
    outputs = {os.path.join(project.out, folder): names for folder, names in folders.items()}
    own = [str(path) for path in (state_path(project.root), *written)]
    inputs = [str(path) for path in plan.inputs if path not in written]
    noop.write(str(project.root), arguments, inputs, own, outputs, started_ns)
