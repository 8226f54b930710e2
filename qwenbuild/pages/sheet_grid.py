"""The grid of a contact sheet: which cell stands in which row and column, and the labels of both.

The user names the axes of rows and columns, or they are chosen here. Images with the same axes stand together. All
other axes in which their cells differ make sections, each with a heading, so no two cells ever share a place. Values
stand in the order in which the specs have them. If there is nothing to set in rows, the cells of a section follow each
other like words: it is a *flow*.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qwenbuild.errors import UsageError
from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.problems import did_you_mean, listing, plain, visible
from qwenbuild.specs.action import Action
from qwenbuild.specs.axis_values import length
from qwenbuild.specs.columns import size_label

from .gallery import Gallery

FIELDS = ("image", "spec", "model", "size", "seed")
"""What the cells can be arranged by beside the axes that specs declare."""

_MOST_COLUMNS = 8  # a default; more columns would be small on a sheet of paper
_MOST_ORDERED = 10_000  # values of an axis; a longer one is a range, whose cells come in order
_NOTES = {"draft": "draft", "old": "old image", "edited": "edited"}
_BLANKS = {Verdict.REATTACH: "in flight", Verdict.UNKNOWN: "unknown", Verdict.MISSING: "missing",
           Verdict.FAILED: "failed"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tile:
    """A cell on the sheet: its name, the digest of its picture ("": none) and its size in pixels.

    `note` says what is special about the picture; without a picture, it says why. `caption` stands below it in a flow.
    """

    name: str
    image: str
    size: tuple[int, int]
    note: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a section: its label, and a tile or nothing for each column."""

    label: str
    tiles: Sequence[Tile | None]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the sheet: its heading, which may be empty, the labels of its columns, and its rows.

    A flow has no columns, and one row without a label: its tiles have captions.
    """

    heading: str
    columns: Sequence[str]
    rows: Sequence[Row]

    @property
    def is_flow(self) -> bool:
        """Whether the tiles follow each other like words."""
        return not self.columns


@dataclass(frozen=True, slots=True)
class Grid:
    """All sections of a sheet, and what stands above them."""

    title: str
    sections: Sequence[Section]

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, in reading order."""
        return [tile for section in self.sections for row in section.rows for tile in row.tiles if tile]

    @property
    def texts(self) -> set[str]:
        """All texts that stand on the sheet."""
        labels = {text for it in self.sections for text in (it.heading, *it.columns, *(row.label for row in it.rows))}
        return {self.title, *labels, *(text for tile in self.tiles for text in (tile.caption, tile.note))}


_Cell = tuple[Action, Tile]


def grid(plan: Plan, gallery: Gallery, rows: str | None, columns: str | None) -> Grid:
    """Return the grid of a plan's cells. `rows` and `columns` name axes; None: the best ones are chosen.

    Raises UsageError if there is no such axis, or no cell.
    """
    if not plan.steps:
        raise UsageError("there is no cell to show", hint="`qwenbuild plan --all` lists the cells", name="no-cell-left")
    _check(rows, columns, [axis for step in plan.steps for axis in step.action.declaration.axes])
    groups: dict[frozenset[str], list[_Cell]] = {}
    for step, tile in zip(plan.steps, _tiles(plan.steps, gallery), strict=True):
        axes = frozenset(step.action.declaration.axes) - {rows, columns}
        groups.setdefault(axes, []).append((step.action, tile))
    named = len(groups) > 1
    made = [it for cells in groups.values() for it in _sections(cells, rows, columns, is_named=named)]
    return Grid(_title(gallery), made)


def _sections(cells: Sequence[_Cell], rows: str | None, columns: str | None, *, is_named: bool) -> Iterator[Section]:
    """Yield the sections of images with the same axes; with `is_named` each heading names its image."""
    actions = [action for action, _ in cells]
    axes = list(dict.fromkeys(["image", *(axis for action in actions for axis in action.declaration.axes)]))
    values = {axis: _values(actions, axis) for axis in dict.fromkeys([*axes, *FIELDS, *filter(None, (rows, columns))])}
    free = {axis: len(values[axis]) for axis in axes if len(values[axis]) > 1}
    across, down = _chosen(rows, columns, free)
    rest = [axis for axis in axes if axis not in (across, down) and (axis in free or (axis == "image" and is_named))]
    parts: dict[tuple[str, ...], dict[tuple[str, str], Tile]] = {}
    for action, tile in cells:
        key = tuple([value(action, axis) for axis in rest])
        parts.setdefault(key, {})[value(action, down) if down else "", value(action, across)] = tile
    numbers = {axis: {text: number for number, text in enumerate(values[axis])} for axis in rest}
    for key in sorted(parts, key=lambda key: [numbers[axis][text] for axis, text in zip(rest, key, strict=True)]):
        at = parts[key]
        heading = ", ".join(label(axis, text) for axis, text in zip(rest, key, strict=True))
        heads = [text for text in values[across] if any(text == column for _, column in at)]
        if down is None:
            tiles = [replace(at["", head], caption=label(across, head)) for head in heads]
            yield Section(heading, [], [Row("", tiles)])
            continue
        lines = [text for text in values[down] if any(text == row for row, _ in at)]
        table = [Row(label(down, line), [at.get((line, head)) for head in heads]) for line in lines]
        yield Section(heading, [label(across, head) for head in heads], table)


def value(action: Action, axis: str) -> str:
    """Return the value of a cell on an axis, "" if it has none."""
    match axis:
        case "image":
            return action.declaration.name
        case "spec":
            return action.declaration.spec.name
        case "model":
            return action.model.name
        case "size":
            return str(action.size)
        case "seed":
            return "random" if action.is_seed_random else str(action.seed)
    return action.cell.get(axis, "")


def label(axis: str, text: str) -> str:
    """Return what stands at a row, column or section: `seed=1`, or an image's name; control characters are visible."""
    if not text:
        return f"no {visible(axis)}"
    return visible(text if axis in ("image", "spec") else f"{axis}={text}")


def _check(rows: str | None, columns: str | None, declared: Iterable[str]) -> None:
    known = [*dict.fromkeys([*declared, *FIELDS])]
    for option, axis in (("--rows", rows), ("--columns", columns)):
        if axis is not None and axis not in known:
            near = did_you_mean(axis, known)
            raise UsageError(
                f'{option}: no axis "{visible(axis)}"',
                facts=[f"the axes are: {listing(known)}"],
                hint=near,
                name="unknown-axis",
            )
    if rows is not None and rows == columns:
        raise UsageError(
            f'--rows and --columns are both "{visible(rows)}"',
            hint="leave one of them out",
            name="contradicting-options",
        )


def _chosen(rows: str | None, columns: str | None, free: Mapping[str, int]) -> tuple[str, str | None]:
    """Return the axes of columns and rows. `free` has the number of values of each axis in which the cells differ."""
    left = [axis for axis in free if axis not in (rows, columns)]
    if columns is None:
        few = [axis for axis in left if free[axis] <= _MOST_COLUMNS]
        if few:
            columns = max(few, key=lambda axis: (axis != "image", free[axis]))
        else:
            columns = min(left, key=lambda axis: free[axis], default="spec" if rows == "image" else "image")
        left = [axis for axis in left if axis != columns]
    if rows is None:
        rows = max(left, key=lambda axis: (axis == "image", free[axis]), default=None)
    return columns, rows


def _values(actions: Sequence[Action], axis: str) -> list[str]:
    """Return the values that the cells have on an axis, in the order of the specs; "" for cells without it is last."""
    seen = dict.fromkeys(value(action, axis) for action in actions)
    ordered: dict[str, None] = {}
    for action in {id(action.declaration): action for action in actions}.values():
        written = action.declaration.axes.get(axis, ())
        if length(written) <= _MOST_ORDERED:
            ordered |= dict.fromkeys(size_label(it, action.model) if axis == "size" else plain(it) for it in written)
    texts = [text for text in ordered | seen if text in seen]
    return sorted(texts, key=lambda text: text == "")


def _tiles(steps: Collection[Step], gallery: Gallery) -> list[Tile]:
    """Return the tile of each step."""
    cells = gallery.model["cells"]
    notes = {**_NOTES, "draft": ""} if _all_drafts(cells) else _NOTES  # what holds for all is said in the title
    tiles = []
    for step, cell in zip(steps, cells, strict=True):
        is_blank = cell["kind"] == "none"
        note = _BLANKS.get(step.verdict, "not rendered") if is_blank else notes.get(cell["kind"], "")
        size = step.action.size
        tiles.append(Tile(step.action.name, cell["image"], (size.width, size.height), note))
    return tiles


def _all_drafts(cells: Iterable[Mapping[str, str]]) -> bool:
    return {cell["kind"] for cell in cells if cell["image"]} == {"draft"}


def _title(gallery: Gallery) -> str:
    """Return what stands above the sheet, such as `studio: 21 images, 3 missing`."""
    cells = gallery.model["cells"]
    count = sum(bool(cell["image"]) for cell in cells)
    what = ("draft" if _all_drafts(cells) else "image") + "s" * (count != 1)
    missing = f", {len(cells) - count:,} missing" if count < len(cells) else ""
    return f"{visible(gallery.model['project'])}: {count:,} {what}{missing}"
