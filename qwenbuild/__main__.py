"""The `qwenbuild` command: what needs no command line first, which is the version, the help, and a no-op build.

The help is kept as a text, for making it loads the command line with all its commands; a test
compares the two.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_HELP_COLUMNS = 80


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        _main()
    except KeyboardInterrupt:  # while modules were loading: nothing has begun
        sys.exit(130)


def _main() -> None:
    begun = time.perf_counter()
    if not (sys.stdin and sys.stdout and sys.stderr):
        _open_streams()
    if asked := os.environ.get("_QWENBUILD_COMPLETE"):
        _complete(asked)
        sys.exit(0)
    from . import noop
    from .version import __version__

    match sys.argv[1:]:
        case ["--version"] if _wrote(f"qwenbuild {__version__}\n"):
            _leave(0)
        case ["--help" | "-h"] if _wrote(_help()):
            _leave(0)
    count = noop.outputs_unchanged(sys.argv[1:] or ["build"])
    if count is not None:
        sys.stderr.write(noop.nothing_to_do(count, time.perf_counter() - begun))
        _leave(0)
    import threading

    # Pydantic looks through all that is installed for plugins; qwenbuild's own models want none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")

    from qwenbuild.cli.startup import loading

    with loading():
        from qwenbuild.cli.main import run
    made: list[object] = []
    code = run(made=made)
    if threading.active_count() > 1:  # somebody's work, which Python would wait for
        sys.exit(code)
    _leave(code)


def _open_streams() -> None:
    """Lead standard streams that were closed before all began (`>&-`) to nowhere.

    Otherwise the next files that are opened take their numbers, and what is written to a number reaches them.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115, as long as the process
        setattr(sys, ("stdin", "stdout", "stderr")[number], stream)
    os.close(number)


def _leave(code: int) -> NoReturn:
    """End the process at once: an interpreter that takes itself apart looks at every object that it has made.

    That takes longer than all that a no-op does, and a sixth of the time of a large plan.
    """
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)  # Python tells of it
    os._exit(code)


def _complete(asked: str) -> None:
    """Tell a shell what it asks for; nothing where anything is wrong, for it happens while a line is typed."""
    try:
        from qwenbuild.cli.completion import answer
        from qwenbuild.cli.main import main
    except ImportError:
        return
    answer(main, asked)


def _help() -> str:
    """Return what `--help` prints; empty where that can't be read, or must be wrapped for a narrow terminal."""
    try:
        if sys.stdout.isatty() and os.get_terminal_size(sys.stdout.fileno()).columns < _HELP_COLUMNS:
            return ""
        with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _wrote(text: str) -> bool:
    """Write to standard output; return False where the command line must do it, as it tells what is wrong there."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return bool(text)


if __name__ == "__main__":
    main()
