"""The no-op fast path: detects, without heavy imports, that a build has nothing to do.

A build after which everything is up to date writes a snapshot (see `noop_snapshot`). If all that the snapshot holds is
unchanged, the slow path would also find nothing to do, and what `plan`, `status` and `lock --check` show is known, too.
Where a command starts, options that only change how the result is shown, and options about work that is not there, make
no difference. In a fresh clone with a restored `.qwenbuild` all times and inodes differ, so contents are compared by
their digests. If anything differs, can't be read, or is uncertain, `find` returns None and the slow path decides.
"""

from __future__ import annotations

import os
import sys

from .noop_answers import COLOURS
from .noop_files import NO_LINK, NO_WAIT
from .noop_snapshot import DAMAGE, Snapshot, read
from .state_folder import BUILD_LOCK, CONFIG, FOLDER, PICKS, SHARED_CONFIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SEPARATOR = "\x1f"
# Options that a build without work does not care about, and those whose value belongs to what is built.
_SWITCHES = ("--fail-fast", "-k", "--keep-going", "--overwrite", "-v", "--verbose")
_NUMBERS = ("-j", "--jobs", "--max-cost", "--max-renders")
_SELECTING = ("-w", "--where", "--tag", "--exclude", "--provider", "--region", "--interface", "--remote", "--shard")
_VALUES = (*_SELECTING, "--profile", "--var")
_PICKED = "--picked"
_OF_PLAN = (*_SELECTING, _PICKED, "--overwrite", "--max-renders")  # the options of `plan` that the fast path knows
_OTHERS = {"status": ([], ["--json"]), "lock": (["--check"],)}  # the arguments of commands that are answered only so


class Asked:
    """What a command line asks for.

    `start` is the folder in which it starts, `command` the command (`build`, `plan`, `status` or `lock`), and `build`
    the arguments that say what is built: none for the whole project. `as_json`, `is_quiet`, `colour` (a value of
    `--color`) and `junit` (a path, empty for none) say how the result is shown.
    """

    __slots__ = ("as_json", "build", "colour", "command", "is_quiet", "junit", "start")

    def __init__(self, arguments: Sequence[str]) -> None:
        self.start, self.as_json, self.is_quiet, self.junit = os.getcwd(), False, False, ""
        self.colour = "auto"
        rest = self._after_project(self._without_colour(arguments))
        self.command = rest.pop(0) if rest and not rest[0].startswith("-") else "build"
        if self.command in _OTHERS:
            is_known, self.as_json, rest = rest in _OTHERS[self.command], "--json" in rest, []
        elif self.command == "plan":
            is_known = all(it in _OF_PLAN for it in rest if it.startswith("-"))
        else:
            is_known = self.command == "build"
        kept, is_locked = self._without_options(rest if is_known else ["", *rest])  # see `find`
        self.build = [*kept, "--locked"] if is_locked and kept else kept

    @property
    def needs_picks(self) -> bool:
        """Whether the answer depends on the stars: they select, or a command shows what has become of them."""
        return self.command in ("plan", "status") or _PICKED in self.build

    def _without_colour(self, arguments: Sequence[str]) -> list[str]:
        """Return the arguments without `--color WHEN`, which may stand anywhere before `--`."""
        rest, end = list(arguments), arguments.index("--") if "--" in arguments else len(arguments)
        for at in range(end - 1, -1, -1):
            if rest[at].startswith("--color="):
                found, size = rest[at].removeprefix("--color="), 1
            elif rest[at] == "--color" and at + 1 < end:
                found, size = rest[at + 1], 2
            else:
                continue
            if found not in COLOURS:
                return ["", *rest]  # the slow path says what is wrong
            self.colour = found if self.colour == "auto" else self.colour
            del rest[at : at + size]
            end -= size
        return rest

    def _after_project(self, rest: list[str]) -> list[str]:
        """Take `-C DIR` off the front; return the other arguments."""
        while rest and (rest[0] == "--project" or rest[0].startswith(("-C", "--project="))):
            if rest[0] in ("-C", "--project"):
                value, *rest = rest[1:]
            else:
                value, rest = rest[0].removeprefix("-C").removeprefix("--project="), rest[1:]
            self.start = os.path.abspath(value)
        return rest

    def _without_options(self, rest: list[str]) -> tuple[list[str], bool]:
        """Return the arguments that say what is built, and whether `--locked` is among the others."""
        kept: list[str] = []
        is_locked = False
        at = 0
        while at < len(rest):
            argument, value = rest[at], rest[at + 1] if at + 1 < len(rest) else ""
            at += 1
            if argument == "--":
                return [*kept, *rest[at - 1 :]], is_locked
            if argument == "--locked":
                is_locked = True
            elif argument == "--json":
                self.as_json = True
            elif argument in ("-q", "--quiet"):
                self.is_quiet = True
            elif argument == "--junit" and value:
                self.junit, at = os.path.join(self.start, value), at + 1
            elif argument in _NUMBERS and value.isascii() and value.isdecimal() and int(value):
                at += 1
            elif argument in _VALUES:
                kept += [argument, value]
                at += 1
            elif argument not in _SWITCHES:
                kept.append(argument)
        return kept, is_locked


class Found:
    """A build with nothing to do: the numbers of its outputs and of the project's orphans, and of pieces of advice."""

    __slots__ = ("_snapshot", "advice", "count", "orphans")

    def __init__(self, count: int, orphans: int, advice: int, snapshot: Snapshot) -> None:
        self.count, self.orphans, self.advice, self._snapshot = count, orphans, advice, snapshot

    @property
    def json(self) -> list[str]:
        """The parts of what `--json` prints."""
        return [os.fsdecode(part) for part in self._snapshot.json]

    @property
    def status(self) -> list[str]:
        """What `status` shows: see `noop_snapshot.Snapshot`."""
        return [os.fsdecode(part) for part in self._snapshot.status]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """The name and the path of each output of the project, in the order of the plan."""
        texts = os.fsdecode(self._snapshot.cells).split("\0")
        return list(zip(texts[::2], texts[1::2], strict=True))


def find(arguments: Sequence[str]) -> tuple[Asked, Found] | None:
    """Return what a command line asks for, and its answer if nothing has changed since it ran, else None."""
    try:
        asked = Asked(arguments)
        if asked.build[:1] == [""]:  # no snapshot has an answer
            return None
        snapshot = _nearest(asked.start)
        found = _answer(snapshot, asked)
        if found is None or not _is_known(asked, found) or _busy(snapshot.root):
            return None
        ignored = b"" if asked.needs_picks else os.fsencode(PICKS)
        return (asked, found) if snapshot.holds(ignored) or snapshot.content_holds(ignored) else None
    except DAMAGE:
        return None


def answer(asked: Asked, root: str, count: int, orphans: int, advice: int) -> bytes:
    """Return what the snapshot of the project at `root` keeps of a command line and its result."""
    return os.fsencode(f"{_line(asked, root)}{_SEPARATOR}{count}/{orphans}/{advice}")


def _is_known(asked: Asked, found: Found) -> bool:
    """Whether `find` knows what the command prints: it knows no orphan's name, and no cell of a selection."""
    match asked.command:
        case "build":
            return not (asked.build and (asked.as_json or asked.junit))
        case "plan":
            return not (found.orphans or found.advice)
        case _:
            return not (asked.build or found.advice)


def _nearest(start: str) -> Snapshot:
    """Return the snapshot of the project around the folder `start`. Raises one of `DAMAGE`."""
    folder = start
    if not os.path.isdir(start):
        raise ValueError
    while not os.path.lexists(os.path.join(folder, FOLDER)):
        parent = os.path.dirname(folder)
        if parent == folder or any(os.path.lexists(os.path.join(folder, name)) for name in (CONFIG, SHARED_CONFIG)):
            raise ValueError  # another project is between
        folder = parent
    if folder != start and hasattr(os, "getuid") and os.stat(folder).st_uid != os.getuid():
        raise ValueError  # the slow path says that the project above belongs to another user
    return read(folder)


def _answer(snapshot: Snapshot, asked: Asked) -> Found | None:
    """Return what a snapshot says of a command line; None if it did not run there."""
    wanted = _line(asked, snapshot.root)
    for text in map(os.fsdecode, snapshot.answers):
        line, _, counts = text.rpartition(_SEPARATOR)
        if line == wanted:
            count, orphans, advice = map(int, counts.split("/"))
            return Found(count, orphans, advice, snapshot)
    return None


def _line(asked: Asked, root: str) -> str:
    """Return the text that two command lines share if they build the same; empty for the whole project."""
    return _SEPARATOR.join([os.path.relpath(asked.start, root), *asked.build]) if asked.build else ""


def _busy(root: str) -> bool:
    """Whether a build of the project is running. Then the slow path reports it."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fd = os.open(os.path.join(root, FOLDER, BUILD_LOCK), os.O_RDWR | NO_LINK | NO_WAIT)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
