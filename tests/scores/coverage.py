"""Branch coverage: the lines and branches of a module that its tests run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from .modules import REPOSITORY, measured_by, source


def report(modules: Sequence[str]) -> int:
    """Run the tests of these modules, and print the branches that they miss; return 1 if there are any."""
    environ = {**os.environ, "COVERAGE_FILE": str(REPOSITORY / "build" / "coverage")}
    files = sorted({path for module in modules for path in measured_by(module)})
    include = ",".join(map(source, modules))
    REPOSITORY.joinpath("build").mkdir(exist_ok=True)
    failed = 0
    for arguments in (
        ["run", f"--include={include}", "-m", "pytest", "-n0", *files],
        ["report", f"--include={include}"],
    ):
        failed |= subprocess.run(
            [sys.executable, "-m", "coverage", *arguments], cwd=REPOSITORY, env=environ, check=False
        ).returncode
    return int(bool(failed))
