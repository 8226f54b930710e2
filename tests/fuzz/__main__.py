"""The command line of `python -m tests.fuzz`: fuzzes longer than the gate, with new inputs each time."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import tests.fuzz

from .target import own_environment
from .targets import TARGETS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 if a target failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=tests.fuzz.__doc__)
    parser.add_argument(
        "target", nargs="*", choices=[*TARGETS, []], default=[], metavar="TARGET", help=", ".join(TARGETS)
    )
    parser.add_argument("--minutes", type=float, default=10)
    asked = parser.parse_args(arguments)
    ends_at, tried = time.monotonic() + 60 * asked.minutes, dict.fromkeys(asked.target or TARGETS, 0)
    failed: set[str] = set()
    with own_environment():
        for name in itertools.cycle(tried):
            if time.monotonic() >= ends_at or failed == set(tried):
                break
            if name in failed:
                continue
            examples = max(10, TARGETS[name].examples // 4)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    TARGETS[name].run(Path(folder), examples, fixed=False)
            except Exception:
                failed.add(name)
                print(f"{name} failed:\n{traceback.format_exc()}", flush=True)  # noqa: T201 - a command prints
            tried[name] += examples
    for name, count in tried.items():
        print(f"{name:10} {count:9,} inputs{'  FAILED' if name in failed else ''}")  # noqa: T201 - a command prints
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
