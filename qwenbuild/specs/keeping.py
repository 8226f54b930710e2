"""Keeping: the `only` entries that keep some cells of an image, and the text of its spec with them.

The text is spliced: the lines of the new tables go in, those of earlier ones go out, and every other byte stays.
tomlkit writes only keys and values. It would put tables behind the comment of the next table (its issue 295), and a
table behind dotted keys would take in the keys that follow (its issue 588). The result is parsed again, and must say
what it should. Where it does not, as for images in inline tables, the spec can't be changed safely.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from qwenbuild.catalogue import Model
from qwenbuild.files.toml_positions import Header, comments, headers, spans

from .columns import size_label
from .declaration import Declaration, Value
from .field_values import FieldValues
from .fields import Scalar
from .grid import COUNTED
from .matrix import Cells
from .rows import Row
from .template import Templates

Entry = Mapping[str, Scalar]
"""An entry of `only`: values by axis. It matches the cells that have all of them."""

_MOST_SETS = 64  # of axes for which cells are counted: beyond it, entries may name an axis that could be left out
_WIDEST = 100  # columns of an `only` in one line


class Unsafe(Exception):
    """A spec can't be changed safely. The text says why."""


# --- which entries ---


class Choice:
    """The cells of an image without its present `only`, from which the new one chooses.

    In a matrix of more than a million cells, only the chosen cells are looked at, and entries name each axis that has
    several values.
    """

    def __init__(self, declaration: Declaration, templates: Templates) -> None:
        """Raises ProjectError if the matrix has a mistake."""
        image = declaration.image
        whole = replace(declaration, image=image.model_copy(update={"only": []}))
        self._axes = [*whole.axes]
        self._is_vast = _combinations(whole) > COUNTED
        seen = declaration if self._is_vast else whole
        self._written: list[dict[str, Scalar]] = [{} for _ in self._axes]  # what the spec writes, by `_said`
        sizes = [*whole.axes.get("size", ()), *[it["size"] for it in image.include if "size" in it]]

        spelled: dict[str, Mapping[str, str]] = {}  # the sizes as written, by the model's name and the label

        def said(at: int, value: Value, model: Model) -> str:
            name, scalar = value.label, value.value
            if self._axes[at] == "size":
                if model.name not in spelled:
                    spelled[model.name] = {size_label(text, model): text for text in reversed(sizes)}
                name = scalar = spelled[model.name].get(value.label, value.label)
            self._written[at].setdefault(name, value.label if isinstance(value.value, Row) else scalar)
            return name

        self._cells = {
            whole.cell_name(values): tuple([said(at, value, model) for at, value in enumerate(values)])
            for values, model in Cells(seen, FieldValues(seen, templates))
        }

    def __len__(self) -> int:
        return len(self._cells)

    def entries(self, chosen: Collection[str]) -> list[Entry]:
        """Return the entries that match exactly the cells with these names.

        An entry leaves out an axis if all its values are chosen, the others being the same. So a new value of such an
        axis is built later, and a new value of an axis that chooses is not.
        """
        wanted = [cell for name, cell in self._cells.items() if name in chosen]
        several = [at for at in range(len(self._axes)) if len({cell[at] for cell in self._cells.values()}) > 1]
        if self._is_vast:
            several = [*range(len(self._axes))]
        every, few = _Counts([*self._cells.values()]), _Counts(wanted)
        found: dict[tuple[int, ...], dict[tuple[str, ...], None]] = {}
        for cell in wanted:
            if any(tuple([cell[at] for at in named]) in rows for named, rows in found.items()):
                continue
            named = tuple(several)
            for at in several if not self._is_vast else ():
                fewer = tuple([it for it in named if it != at])
                if fewer and every.of(fewer, cell) == few.of(fewer, cell) > 0:
                    named = fewer
            found.setdefault(named, {})[tuple([cell[at] for at in named])] = None
        return [self._entry(named, row) for named, rows in found.items() for row in rows]

    def _entry(self, named: Sequence[int], row: Sequence[str]) -> Entry:
        return {self._axes[at]: self._written[at][name] for at, name in zip(named, row, strict=True)}


class _Counts:
    """The number of cells that share their values on some axes."""

    def __init__(self, cells: Sequence[tuple[str, ...]]) -> None:
        self._cells = cells
        self._counts: dict[tuple[int, ...], Counter[tuple[str, ...]]] = {}

    def of(self, axes: tuple[int, ...], cell: Sequence[str]) -> int:
        """Return how many cells have the values that `cell` has on these axes; 0 if too much was asked already."""
        if axes not in self._counts:
            if len(self._counts) >= _MOST_SETS:
                return 0
            self._counts[axes] = Counter([tuple([it[at] for at in axes]) for it in self._cells])
        return self._counts[axes][tuple([cell[at] for at in axes])]


def _combinations(declaration: Declaration) -> int:
    from .axis_values import combinations

    return combinations(declaration.axes.values())


# --- the text ---


def in_one_line(entries: Sequence[Entry]) -> str:
    """Return `only` as a person can write it into any table of an image: `only = [{ seed = 1 }]`."""
    return f"only = [{', '.join(map(_inline, entries))}]"


def with_only(text: str, image: str, entries: Sequence[Entry]) -> str:
    """Return the text of a spec in which `only` of an image has these entries; all else stays. Raises Unsafe."""
    wanted = copy.deepcopy(tomllib.loads(text))
    table = wanted["image"][image]
    is_inline = "only" in table and not any(it.names == ("image", image, "only") for it in headers(text))
    table["only"] = [dict(entry) for entry in entries]
    found = _in_place(text, image, entries) if is_inline else _as_tables(text, image, entries)
    try:
        is_right = tomllib.loads(found) == wanted
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise Unsafe(f"no [[image.{_key(image)}.only]] table can follow what declares {image}")
    return found


def _in_place(text: str, image: str, entries: Sequence[Entry]) -> str:
    """Return the text with another array `only`, where the present one stands."""
    (first, left), (last, right) = spans(text)["image", image, "only"][1]
    if any(first - 1 <= row < last - 1 for row in comments(text)):
        raise Unsafe(f"its array `only` of {image} holds comments")
    lines = text.split("\n")
    before, after = lines[first - 1][: left - 1], lines[last - 1][right - 1 :]
    ending, indent = _ending(text), re.match(r"\s*", before)[0]  # type: ignore[index]
    array = in_one_line(entries).removeprefix("only = ")
    if len(before + array) > _WIDEST:
        array = f"{ending}{indent}    ".join(["[", *(f"{_inline(entry)}," for entry in entries)]) + f"{ending}{indent}]"
    return "\n".join([*lines[: first - 1], before + array + after, *lines[last:]])


def _as_tables(text: str, image: str, entries: Sequence[Entry]) -> str:
    """Return the text with `[[image.X.only]]` tables: where the present ones stand, else behind the image."""
    lines, marks, ending = re.split(r"(?<=\n)", text), comments(text), _ending(text)
    tables = [Header(0, ()), *headers(text)]
    ends = [*[it.row for it in tables[1:]], len(lines)]
    own = [number for number, it in enumerate(tables) if it.names[:2] == ("image", image)]
    own = own or [number for number, it in enumerate(tables) if it.names == ("image",)] or [0]
    present = [number for number in own if tables[number].names[2:] == ("only",)]
    indent = re.match(r"[ \t]*", lines[tables[own[-1]].row])[0]  # type: ignore[index]

    def content_end(number: int) -> int:
        end = ends[number]
        while end > tables[number].row and (not lines[end - 1].strip() or _is_comment(lines, end - 1, marks)):
            end -= 1
        return end

    if present:
        at = tables[present[0]].row
        gone = {row for number in present for row in range(tables[number].row, content_end(number))}
        gone |= {row for number in present if number + 1 in present for row in range(content_end(number), ends[number])}
    else:
        at, gone = content_end(own[-1]), set()
        behind = at
        while behind < ends[own[-1]] and _is_comment(lines, behind, marks):
            behind += 1
        at = behind if behind < ends[own[-1]] or behind == len(lines) else at  # else they belong to the next table
    kept = [f"{indent}{marks[row]}{ending}" for row in sorted(gone) if row in marks]
    new = f"{ending}".join(_table(image, entry, indent, ending) for entry in entries)
    before = "".join(lines[:at])
    if before and not before.endswith("\n"):
        before += ending
    if at and lines[at - 1].strip() and not (present and _is_comment(lines, at - 1, marks)):
        before += ending
    after = [line for row, line in enumerate(lines[at:], at) if row not in gone]
    gap = ending if after and after[0].strip() else ""
    return "".join([before, *kept, new, gap, *after])


def _table(image: str, entry: Entry, indent: str, ending: str) -> str:
    lines = [f"[[image.{_key(image)}.only]]", *(f"{_key(axis)} = {_value(value)}" for axis, value in entry.items())]
    return "".join([f"{indent}{line}{ending}" for line in lines])


def _inline(entry: Entry) -> str:
    return f"{{ {', '.join(f'{_key(axis)} = {_value(value)}' for axis, value in entry.items())} }}"


def _is_comment(lines: Sequence[str], row: int, marks: Mapping[int, str]) -> bool:
    """Whether a line is a comment and nothing else."""
    return row in marks and lines[row].strip() == marks[row].strip()


def _ending(text: str) -> str:
    """Return the line end of a text: that of its first line."""
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


def _key(name: str) -> str:
    import tomlkit

    return tomlkit.key(name).as_string()


def _value(value: Scalar) -> str:
    import tomlkit

    return tomlkit.item(value).as_string()
