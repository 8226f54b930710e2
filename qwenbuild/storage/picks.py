"""The picks: the committed file `picks.toml`, which says which cells are starred, with rank and note.

It has one table for each star, sorted by cell. So the diff of two files is small, and people can merge them by hand.

Invariants: what people write into the file stays, comments too, unless its star is dropped. A file with a mistake, or
of a newer qwenbuild, is never changed. The file is written as a whole, under a lock: two commands never lose a star.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from qwenbuild.errors import MOST_PROBLEMS, ProjectError, UsageError
from qwenbuild.files import atomic
from qwenbuild.files.text import nfc, read_text, whole_line
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_limits import MAX_BYTES
from qwenbuild.files.toml_positions import spans
from qwenbuild.problems import Place, Problem, did_you_mean
from qwenbuild.state_folder import PICKS

from .action_result import is_digest
from .build_lock import make_state_folder

NAME = PICKS
VERSION = 1
_HEAD = f"# The starred cells. `qwenbuild pick` and the page write it; commit it.\nversion = {VERSION}\n"
_CONFLICT = re.compile(r"(<{7}|\|{7}|={7}|>{7})( |$)")
_TABLE = re.compile(r"^[ \t]*\[\[[ \t]*(pick|\"pick\"|'pick')[ \t]*\]\]", re.MULTILINE)
_LOCK_TIMEOUT_S = 10.0  # the lock is held for milliseconds at a time


class Pick(NamedTuple):
    """A star: the cell's name, the digest of the image that was starred (empty for none), its rank and a note.

    `rank` is 1 for the best; None for no rank. Several cells may share a rank.
    """

    cell: str
    image: str = ""
    rank: int | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what the file says of the star: what is absent is left out."""
        return {name: value for name, value in self._asdict().items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class Picks:
    """The stars of a project by cell, sorted by name. Iterating yields the picks, and `in` asks for a cell."""

    by_cell: Mapping[str, Pick] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.by_cell)

    def __iter__(self) -> Iterator[Pick]:
        return iter(self.by_cell.values())

    def __contains__(self, cell: str) -> bool:
        return cell in self.by_cell


def read(path: Path, *, shown: str = NAME) -> Picks:
    """Return the picks in the file at `path`, none if there is no file. Messages name the file as `shown`.

    Raises ProjectError, with all mistakes, if this version can't read the file.
    """
    return _parsed(_text(path, shown), shown)


def change(path: Path, state_folder: Path, edit: Callable[[Mapping[str, Pick]], Mapping[str, Pick]]) -> Picks:
    """Replace the picks by what `edit` returns for the present ones, by cell; return the new picks.

    If nothing is left, neither a star nor a comment, the file is removed. `state_folder` holds the lock and the
    temporary file. Raises ProjectError if the present file has a mistake, UsageError if it can't be written.
    """
    from filelock import FileLock, Timeout

    try:
        make_state_folder(state_folder)
        with FileLock(state_folder / f"{NAME}.lock", timeout=_LOCK_TIMEOUT_S):
            text = _text(path, NAME)
            before = _parsed(text, NAME).by_cell
            after = Picks(dict(sorted(edit(before).items())))
            if after.by_cell != before:
                _write(path, _edited(text or _HEAD, after), text, state_folder / "tmp")
            return after
    except Timeout:
        raise UsageError(f"another command is writing {NAME}", hint="try again", name="project-busy") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}", name="file-unwritable") from None


def _write(path: Path, text: str, before: str, staging: Path) -> None:
    if text == _HEAD:
        path.unlink(missing_ok=True)
        return
    target = Path(os.path.realpath(path))
    content = text.replace("\n", "\r\n") if "\r\n" in before else text
    atomic.write(target, content.encode(), staging, mtime_ns=time.time_ns())


def _text(path: Path, shown: str) -> str:
    return read_text(path, shown, MAX_BYTES) if os.path.lexists(path) else ""


# --- reading ---


def _parsed(text: str, shown: str) -> Picks:
    """Return the picks in the text of a file. Raises ProjectError with the first mistakes."""
    if not text:
        return Picks()
    _refuse_conflicts(text, shown)
    file = TomlFile.parse(shown, text)
    problems: list[Problem] = []
    found: dict[str, tuple[int, Pick]] = {}
    for number, table in enumerate(_tables(file)):
        if wrong := list(_faults(file, number, table)):
            problems += wrong
            continue
        pick = Pick(**{**table, "cell": nfc(table["cell"])})
        earlier, same = found.setdefault(pick.cell, (number, pick))
        if same != pick:
            lines = [file.place(("pick", it, "cell")).line for it in (earlier, number)]
            claim = f"{pick.cell} is starred twice, in different ways: in lines {lines[0]} and {lines[1]}"
            place = file.place(("pick", number, "cell"))
            problems.append(Problem(claim, place, hint="delete one of the two [[pick]] tables", name="picks-damaged"))
    if problems:
        more = [Problem(f"{shown} may have more mistakes: these are the first {MOST_PROBLEMS}", name="more-problems")]
        raise ProjectError(problems[:MOST_PROBLEMS] + (more if len(problems) > MOST_PROBLEMS else []))
    return Picks({cell: found[cell][1] for cell in sorted(found)})


def _refuse_conflicts(text: str, shown: str) -> None:
    """Raise ProjectError if a merge has left its marks in the text."""
    lines = text.splitlines()
    marks = [number for number, line in enumerate(lines, 1) if _CONFLICT.match(line)]
    if not any(lines[number - 1].startswith("<<<<<<<") for number in marks):
        return
    at = ", ".join(map(str, marks[:12])) + (f" and {len(marks) - 12} more" if len(marks) > 12 else "")
    hint = f"keep the [[pick]] tables that you want, in any order, and delete the lines {at}"
    place = whole_line(shown, marks[0], lines[marks[0] - 1])
    claim, facts = f"{shown} holds a merge conflict", [f"marks: lines {at}"]
    raise ProjectError([Problem(claim, place, facts=facts, hint=hint, name="merge-conflict")])


def _tables(file: TomlFile) -> Sequence[Any]:
    """Return the `[[pick]]` tables of a file. Raises ProjectError if the rest of the file has a mistake."""
    table, shown = file.table, file.shown
    version = table.get("version")
    if type(version) is int and version > VERSION:
        facts = [f"its version is {version}, this qwenbuild knows {VERSION}"]
        claim = f"{shown} is of a newer qwenbuild"
        place = file.place(("version",))
        raise ProjectError([Problem(claim, place, facts=facts, hint="upgrade qwenbuild", name="newer-version")])
    if type(version) is not int or version < 1:
        claim, place = f"{shown} has no version", file.place(("version",))
        raise ProjectError([Problem(claim, place, hint="write: version = 1", name="picks-damaged")])
    if unknown := sorted(set(table) - {"version", "pick"}):
        raise ProjectError([_unknown(file, (key,), ("version", "pick")) for key in unknown])
    tables = table.get("pick", [])
    if not isinstance(tables, list) or (tables and not _TABLE.search(file.text)):
        hint = 'write each star as [[pick]], then cell = "…" in the next line'
        place = file.place(("pick",), key=True)
        raise ProjectError([Problem("the stars must be [[pick]] tables", place, hint=hint, name="picks-damaged")])
    return tables


def _unknown(file: TomlFile, keys: tuple[str | int, ...], known: Sequence[str]) -> Problem:
    key = str(keys[-1])
    hint = did_you_mean(key, known) or f"keys: {', '.join(known)}"
    return Problem(f'unknown key "{key}"', file.place(keys, key=True), hint=hint, name="unknown-key")


def _faults(file: TomlFile, number: int, table: dict[str, Any]) -> Iterator[Problem]:
    """Yield the mistakes of one `[[pick]]` table."""

    def place(key: str) -> Place:
        return file.place(("pick", number, key))

    for key in table.keys() - {*Pick._fields}:
        yield _unknown(file, ("pick", number, key), Pick._fields)
    cell, image, rank, note = (table.get(name) for name in Pick._fields)
    if cell is None:
        yield Problem(
            "this star names no cell",
            place("cell"),
            hint='write: cell = "spec/image[axis=value]"',
            name="picks-damaged",
        )
    elif not isinstance(cell, str) or not cell:
        yield Problem("cell must be the name of a cell", place("cell"), name="picks-damaged")
    if "image" in table and not (isinstance(image, str) and is_digest(image)):
        yield Problem("image must be 64 lower-case hexadecimal digits", place("image"), name="picks-damaged")
    if "rank" in table and (type(rank) is not int or rank < 1):
        yield Problem("rank must be a whole number from 1", place("rank"), name="picks-damaged")
    if "note" in table and not isinstance(note, str):
        yield Problem("note must be a text", place("note"), name="picks-damaged")


# --- writing ---


class _Block(NamedTuple):
    """A `[[pick]]` table in the text: what stands above it (blank lines and comments), and its own text."""

    cell: str
    above: str
    own: str


def _edited(text: str, picks: Picks) -> str:
    """Return the text of a valid file with other picks. Comments and the tables of unchanged picks stay as they are."""
    head, blocks, tail = _split(text.replace("\r\n", "\n"))
    written: dict[str, str] = {}
    left = ""  # comments that stand apart from a star that is dropped
    for block in blocks:
        above = left + (block.above.lstrip("\n") if left else block.above)
        left = ""
        if block.cell in picks and block.cell not in written:
            written[block.cell] = above.lstrip("\n") + _table(picks.by_cell[block.cell], block.own)
        else:
            left = _apart(above)
    tables = [written.get(pick.cell) or _table(pick) for pick in picks]
    parts = [head, *tables, left + (tail.lstrip("\n") if left else tail)]
    return "\n".join(f"{part}\n" for it in parts if (part := it.strip("\n")))


def _split(text: str) -> tuple[str, Sequence[_Block], str]:
    """Return the text before the first star, its blocks, and the text behind the last star."""
    lines = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]
    cells = [table["cell"] for table in TomlFile.parse(NAME, text).table.get("pick", [])]
    begins, ends = [0] * len(cells), [0] * len(cells)  # the lines of each table
    at = 0  # the last line of the head
    for keys, (key, value) in spans(text).items():
        match keys:
            case ("pick", int(number), *rest):
                begins[number] = begins[number] if rest else key[0][0] - 1
                ends[number] = max(ends[number], value[1][0])
            case ("version",):
                at = value[1][0]
    head, blocks = "".join(lines[:at]), []
    for cell, begin, end in zip(cells, begins, ends, strict=True):
        blocks.append(_Block(nfc(cell), "".join(lines[at:begin]), "".join(lines[begin:end])))
        at = end
    return head, blocks, "".join(lines[at:])


def _apart(text: str) -> str:
    """Return the comments that a blank line separates from what follows them."""
    lines = text.splitlines(keepends=True)
    blank = max([number for number, line in enumerate(lines) if not line.strip()], default=-1)
    return "".join(lines[: blank + 1])


def _table(pick: Pick, own: str = "") -> str:
    """Return the `[[pick]]` table of a star; `own` is its present text, empty if there is none."""
    if not own:
        return "[[pick]]\n" + tomli_w.dumps(pick.as_dict())
    import tomlkit

    file = tomlkit.parse(own)
    [table] = file["pick"]
    wanted = {**pick.as_dict(), "cell": table["cell"]}  # it may be in another form of Unicode
    if dict(table) == wanted:
        return own
    for name in Pick._fields:
        if name not in wanted:
            table.pop(name, None)
        elif table.get(name) != wanted[name]:
            table[name] = wanted[name]
    return tomlkit.dumps(file)
