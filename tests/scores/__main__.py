"""The command line of `python -m tests.scores`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import tests.scores

from . import coverage, mutation
from .modules import MODULES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.scores", description=tests.scores.__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", choices=("coverage", "mutation"))
    parser.add_argument("module", nargs="*", choices=[*MODULES, []], default=[], metavar="MODULE")
    parser.add_argument("--survivors", action="store_true")
    asked = parser.parse_args(arguments)
    modules = asked.module or MODULES
    return coverage.report(modules) if asked.kind == "coverage" else mutation.report(modules, survivors=asked.survivors)


if __name__ == "__main__":
    sys.exit(main())
