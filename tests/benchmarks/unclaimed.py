"""Builds a project without claims: submissions are recorded only in the project's state, never in the ledger.

python -m tests.benchmarks.unclaimed PROJECT
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from qwenbuild.engine.engine import Engine
from qwenbuild.options import Options
from qwenbuild.specs.project import find
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions


class Unclaimed(Engine):
    """An engine that takes every provider for a free one."""

    def submissions(self, state: State) -> contextlib.AbstractContextManager[Submissions]:
        return contextlib.closing(Submissions(state, None, self.provider, self.project.root))


if __name__ == "__main__":
    finished = Unclaimed(find(Path(sys.argv[1])), Options(max_renders=10**9), os.environ).build()
    sys.exit(finished.exit_code)
