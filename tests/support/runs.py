"""The run of a build that a test carries out in parts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qwenbuild import load
from qwenbuild.builder.interrupt import Interrupt
from qwenbuild.builder.run import Run
from qwenbuild.events import Emit
from qwenbuild.provider import Provider
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.routes import lanes_of


def run_of(root: Path, state: State, emit: Emit | None = None, provider: Provider | None = None, **choices: Any) -> Run:
    """Return a run of the project's plan with this state; `choices` are fields of `Options`."""
    engine = load(root, **choices)
    lanes = lanes_of(provider or engine.provider, lambda it: Submissions(state, None, it, root))
    return Run(
        engine.plan(), engine.effective, lanes.of(), lanes, engine.outputs(), state, engine.store,
        emit or (lambda event: None), Interrupt(), time.monotonic(),
    )  # fmt: skip
