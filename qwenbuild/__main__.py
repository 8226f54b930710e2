"""The `qwenbuild` command: answers `--version`, `--help`, and what is asked of an unchanged project, at once.

`help.txt` holds the text of `--help`, because making the text loads all commands. A test compares the two.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TextIO

    from . import noop

_HELP_COLUMNS = 80


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        _main()
    except KeyboardInterrupt:  # raised while modules are loaded; afterwards the command handles interrupts
        sys.exit(130)


def _main() -> None:
    begun = time.perf_counter()
    if not (sys.stdin and sys.stdout and sys.stderr):
        _open_streams()
    if asked := os.environ.get("_QWENBUILD_COMPLETE"):
        _complete(asked)
        sys.exit(0)
    from .version import __version__

    match sys.argv[1:]:
        case ["--version" | "-V"] if _wrote(f"qwenbuild {__version__}\n"):
            _leave(0)
        case ["--help" | "-h"] if _wrote(_help()):
            _leave(0)
    from . import noop

    if (found := noop.find(sys.argv[1:])) and _showed(*found, begun):
        _leave(0)
    import threading

    # Otherwise pydantic searches all installed packages for plugins. qwenbuild's models use none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")

    from qwenbuild.cli.startup import loading

    with loading():
        from qwenbuild.cli.main import run
    made: list[object] = []
    code = run(made=made)
    if threading.active_count() > 1:
        from qwenbuild.builder.interrupt import is_left_behind

        others = set(threading.enumerate()) - {threading.main_thread()}
        if not all(map(is_left_behind, others)):  # a plugin's thread may still work: Python waits for it
            sys.exit(code)
    _leave(code)


def _open_streams() -> None:
    """Connect standard streams that the caller has closed (`>&-`) to the null device.

    Otherwise the next opened file gets the number of a standard stream, and messages end up in that file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115, open until the process ends
        setattr(sys, ("stdin", "stdout", "stderr")[number], stream)
    os.close(number)


def _leave(code: int) -> NoReturn:
    """End the process without Python's usual shutdown, which visits every object.

    The shutdown takes longer than a whole no-op build, and a sixth of the time of a large plan.
    """
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        import errno

        if error.errno not in (errno.EIO, errno.EPIPE):  # else nobody is left to read anything
            sys.exit(code)  # Python reports the error
    os._exit(code)


def _complete(asked: str) -> None:
    """Print completions for a shell. Print nothing if that fails, because the user is typing a line."""
    try:
        from qwenbuild.cli.completion import answer
        from qwenbuild.cli.main import main
    except ImportError:
        return
    answer(main, asked)


def _help() -> str:
    """Return the text of `--help`; empty if the file can't be read, or if the terminal is too narrow for the text."""
    try:
        if sys.stdout.isatty() and os.get_terminal_size(sys.stdout.fileno()).columns < _HELP_COLUMNS:
            return ""
        with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _showed(asked: noop.Asked, found: noop.Found, begun: float) -> bool:
    """Show the answer for an unchanged project. Return False if that fails: then the command line says why."""
    from . import noop_answers as answers

    answers.set_colour(asked.colour)
    if asked.command != "build":
        return _wrote(answers.shown(asked, found, in_colour=answers.coloured(sys.stdout)))
    if asked.junit:
        from pathlib import Path

        from qwenbuild.errors import QwenbuildError
        from qwenbuild.terminal.junit import report_no_op

        try:
            report_no_op(Path(asked.junit), found.cells, time.perf_counter() - begun)
        except (QwenbuildError, OSError):
            return False
    if asked.as_json:
        return _wrote(answers.build_events(found, time.perf_counter() - begun))
    if asked.is_quiet:
        return True
    more = f"{answers.orphaned(found.orphans)}\n" if found.orphans else ""
    _wrote(answers.nothing_to_do(found.count, time.perf_counter() - begun) + more, sys.stderr)
    return True


def _wrote(text: str, stream: TextIO | None = None) -> bool:
    """Write `text` to a stream, by default standard output. Return False if that fails.

    For standard output, the command line then tries again and reports why.
    """
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return False
    return bool(text)


if __name__ == "__main__":
    main()
