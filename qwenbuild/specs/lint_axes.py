"""Lint of axes: finds those whose values change no request, so that their cells are duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from qwenbuild.files.text import nfc

from .action import Action
from .declaration import Declaration
from .declared_names import FIELDS


def idle(
    declaration: Declaration, cells: Sequence[Action], reads: Callable[[], frozenset[str] | None]
) -> Iterator[tuple[str, int, tuple[Action, Action]]]:
    """Yield (axis, number of duplicates, two of them) for each axis that changes no request of an image.

    `cells` are all cells of the image. `reads` returns the names that its templates read, None if they are not known;
    it is called only if there may be such an axis. With a random seed, no cell is a duplicate.
    """
    axes, added = [*declaration.axes], len(declaration.image.include)
    judged = {n for n, axis in enumerate(axes) if axis not in FIELDS and len(declaration.axes[axis]) + added > 1}
    is_labelled = bool(judged and cells[0].request.label)  # then the cell's name is in each request, and in its key
    suspects = _suspects(cells, judged, is_labelled=is_labelled)
    read = reads() if suspects else None
    if suspects and any(action.is_seed_random for action in cells):
        return
    for number, pair in suspects.items():
        if pair and read is not None and nfc(axes[number]) not in read:
            yield axes[number], len(cells) - len(set(_others(cells, number))), pair
        elif found := _duplicates(cells, number, is_labelled=is_labelled):
            yield axes[number], *found


def _suspects(
    cells: Sequence[Action], judged: set[int], *, is_labelled: bool
) -> Mapping[int, tuple[Action, Action] | None]:
    """Return the axes that may change no request, each with two cells that differ in this axis alone.

    Such a pair shows for most axes that they change something, so few cells are read. None: the first cell has no pair.
    """
    first, suspects, left = cells[0], dict[int, tuple[Action, Action] | None](), set(judged)
    for action in cells:
        if not left:
            break
        pairs = enumerate(zip(action.values, first.values, strict=True))
        differing = [number for number, (one, other) in pairs if one is not other and one.label != other.label]
        if len(differing) == 1 and differing[0] in left:
            left.remove(differing[0])
            if _key(action, is_labelled=is_labelled) == _key(first, is_labelled=is_labelled):
                suspects[differing[0]] = first, action
    return dict(sorted({**suspects, **dict.fromkeys(left)}.items()))


def _duplicates(cells: Sequence[Action], number: int, *, is_labelled: bool) -> tuple[int, tuple[Action, Action]] | None:
    """Return the number of duplicates and two of them, if the axis `number` changes no request.

    The cells are grouped by the values of all other axes. A group with two requests shows that the axis changes
    something. A group of one shows nothing: the cells that are excluded could differ.
    """
    groups: dict[tuple[str, ...], list[Action]] = {}
    for action, others in zip(cells, _others(cells, number), strict=True):
        group = groups.setdefault(others, [])
        if group and _key(action, is_labelled=is_labelled) != _key(group[0], is_labelled=is_labelled):
            return None
        group.append(action)
    if any(len(group) == 1 for group in groups.values()):
        return None
    first, second, *_ = next(iter(groups.values()))
    return len(cells) - len(groups), (first, second)


def _others(cells: Sequence[Action], number: int) -> Iterator[tuple[str, ...]]:
    """Yield the labels of each cell but that of the axis `number`."""
    for action in cells:
        labels = action.labels
        yield labels[:number] + labels[number + 1 :]


def _key(action: Action, *, is_labelled: bool) -> str:
    """Return the key of a request, without the label if it has one."""
    return action.request._replace(label="").key if is_labelled else action.request_key
