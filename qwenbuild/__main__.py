"""The `qwenbuild` command: the fast path first, the command line where it can't tell."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        _main()
    except KeyboardInterrupt:  # while modules were loading: nothing has begun
        sys.exit(130)


def _main() -> None:
    begun = time.perf_counter()
    from . import __version__, snapshot

    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"qwenbuild {__version__}\n")
        sys.exit(0)
    count = snapshot.outputs_unchanged(sys.argv[1:] or ["build"])
    if count is not None:
        sys.stderr.write(snapshot.nothing_to_do(count, time.perf_counter() - begun))
        sys.exit(0)
    from .cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
