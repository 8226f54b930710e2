"""The overview of a large plan: a line for each image, then each reason with its number of cells and the first ones.

It has as many lines as it is given: what does not fit is counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.plan.reasons import Group, grouped
from qwenbuild.problems import columns, visible
from qwenbuild.provider import Price

from .screen import cut, padded, shortened
from .style import OUTCOME_STYLES, VERDICT_WORDS, label, money, styled

_HEADS = {**VERDICT_WORDS, "render": "render", "restore": "restore", "reattach": "collect"}
_LESS = ("up_to_date", "restore", "edited", "reattach", "cost", "unknown", "missing")
_NARROWEST = 16  # columns of an image's name; before it gets fewer, a column of numbers is left out
_NAMED = 3  # cells of a group
_IMAGES = 0.4  # of the lines, if the reasons need the others


@dataclass(slots=True)
class _Row:
    """The counts of one image by verdict, and how many of its renders have which price."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    prices: Counter[Price] = field(default_factory=Counter)

    @property
    def work(self) -> int:
        """The number of cells that are not up to date."""
        return self.counts.total() - self.counts["up_to_date"]

    @property
    def cost(self) -> str:
        """What its renders cost."""
        return money(Price.by_currency(Price(it.amount * count, it.currency) for it, count in self.prices.items()))


def overview(plan: Plan, room: int, wide: int | None) -> list[str]:
    """Return at most `room` lines (or a few, if that is less) of at most `wide` columns."""
    rows = _rows(plan.steps)
    groups = grouped((step for step in plan.steps if step.verdict != "up_to_date"), names=_NAMED)
    texts = [list(_group(group, wide)) for group in groups]
    needed = 1 + sum(map(len, texts))
    lines = _table(rows, max(room - needed, round(room * _IMAGES), 3), wide)
    shown = _chosen(groups, texts, max(room - len(lines) - 1, 2))
    lines += [line for at in shown for line in texts[at]]
    left = [group for at, group in enumerate(groups) if at not in set(shown)]
    all_cells = "`qwenbuild plan --all` lists each cell"
    if left:
        more = f"{len(left):,} more reason{'s' * (len(left) > 1)}"
        longest = f"{more}, {_cells(sum(group.count for group in left))}; {all_cells}"
        all_cells = longest if wide is None or 12 + len(longest) <= wide else f"{more}; `qwenbuild plan --all`"
    return [*lines, f"{'…':>10}  {cut(all_cells, _beside(wide))}"]


def _beside(wide: int | None) -> int | None:
    """Return the columns beside a word."""
    return None if wide is None else max(wide - 12, 10)


def _rows(steps: Iterable[Step]) -> list[_Row]:
    rows: dict[str, _Row] = {}
    for step in steps:
        name = step.action.declaration.name
        row = rows.get(name) or rows.setdefault(name, _Row(name))
        row.counts[step.verdict] += 1
        if step.price and step.verdict is Verdict.RENDER:
            row.prices[step.price] += 1
    return list(rows.values())


def _table(rows: Sequence[_Row], room: int, wide: int | None) -> list[str]:
    """Return a head and the rows; of too many, those with most work, and the sums of the others."""
    shown = list(rows)
    if 1 + len(rows) > room:
        most = sorted(range(len(rows)), key=lambda at: -rows[at].work)[: room - 2]
        others = [row for at, row in enumerate(rows) if at not in set(most)]
        rest = _Row(f"… {len(others):,} more images")
        for row in others:
            rest.counts.update(row.counts)
            rest.prices.update(row.prices)
        shown = [*(rows[at] for at in sorted(most)), rest]
    cells = {
        verdict: [head, *(f"{row.counts[verdict]:,}" if row.counts[verdict] else "-" for row in shown)]
        for verdict, head in _HEADS.items()
        if any(row.counts[verdict] for row in shown)
    }
    costs = [row.cost for row in shown]
    cells |= {"cost": ["cost", *costs]} if any(costs) else {}
    widths = {name: max(map(len, texts)) for name, texts in cells.items()}
    names = max(columns(visible(row.name)) for row in shown)
    if wide is not None:
        for name in _LESS:  # in the order in which they can be missed
            if wide - sum(widths.values()) - 2 * len(widths) < min(names, _NARROWEST):
                widths.pop(name, None)
        names = max(min(names, wide - sum(widths.values()) - 2 * len(widths)), 5)
    first = ["image", *(shortened(visible(row.name), names) for row in shown)]
    lines = []
    for at, name in enumerate(first):
        numbers = [f"{cells[column][at]:>{size}}" for column, size in widths.items()]
        if at == 0:
            numbers = [
                styled(text, sys.stdout, **OUTCOME_STYLES.get(column, {}))
                for text, column in zip(numbers, widths, strict=True)
            ]
        lines.append("  ".join([padded(name, names), *numbers]).rstrip())
    return lines


def _group(group: Group, wide: int | None) -> Iterator[str]:
    """Yield the lines of a group: its reason and its number of cells, its first cells, and what to do about them."""
    room = _beside(wide)
    of = f" of {len(group.images):,} images" if len(group.images) > 1 else ""
    count = f", {_cells(group.count)}{of}"
    if 0 < group.compared < group.count:
        count += f" ({group.compared:,} of them compared)"
    reason = cut(visible(group.reason), room and max(room - len(count), 10))
    yield f"{label(group.verdict)}  {cut(reason + count, room)}"
    yield f"{'':>10}  {_dim(_first(group, room))}"
    failure = group.first[0].failure
    if failure and failure.hint and group.verdict is Verdict.FAILED:
        yield f"{'':>10}  {_dim(cut(visible(failure.hint), room))}"


def _first(group: Group, room: int | None) -> str:
    """Return the names of the first cells, as many as fit, and how many others there are."""
    names = [visible(step.action.name) for step in group.first]
    for count in range(len(names), 0, -1):
        left = group.count - count
        more = f" and {left:,} more" if left else ""
        text = ", ".join(names[:count]) + more
        if room is None or columns(text) <= room:
            return text
    return shortened(names[0], (room or 0) - len(more)) + more


def _chosen(groups: Sequence[Group], texts: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return the indices of the groups to show, by verdict: the largest of each verdict first, then the largest."""
    firsts: dict[str, int] = {}
    for at, group in enumerate(groups):
        firsts.setdefault(group.verdict, at)
    chosen: list[int] = []
    for at in [*firsts.values(), *(at for at in range(len(groups)) if at not in set(firsts.values()))]:
        room -= len(texts[at])
        if room < 0 and chosen:
            break
        chosen.append(at)
    order = list(VERDICT_WORDS)
    return sorted(chosen, key=lambda at: (order.index(groups[at].verdict), at))


def _cells(count: int) -> str:
    return f"{count:,} cell{'s' * (count != 1)}"


def _dim(text: str) -> str:
    return styled(text, sys.stdout, dim=True)
