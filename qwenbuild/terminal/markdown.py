"""The view of `plan --markdown`: a plan as a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from qwenbuild.plan.diff import pieces, summary
from qwenbuild.plan.plan import Plan, Verdict
from qwenbuild.plan.review import Change
from qwenbuild.problems import visible

from .plan_view import given_lines

MOST_CHARACTERS = 65_000
"""Longest comment; GitHub refuses more than 65,536 characters."""

_MOST_PROMPT = 1_500  # characters of a prompt, or of a difference
_BESIDE = 40  # unchanged characters shown on each side of a change

_WORDS = {
    Verdict.RENDER: "to render", Verdict.RESTORE: "to restore", Verdict.REATTACH: "to collect",
    Verdict.MISSING: "missing", Verdict.UNKNOWN: "unknown", Verdict.FAILED: "failed",
    Verdict.EDITED: "edited by hand",
}  # fmt: skip


def markdown(plan: Plan, changes: Sequence[Change] | None = None) -> str:
    """Return a plan as Markdown of at most `MOST_CHARACTERS`; the changes against the base come first."""
    counts = [f"**{plan.count(verdict):,} {word}**" for verdict, word in _WORDS.items() if plan.count(verdict)]
    counts += [f"{plan.count(Verdict.UP_TO_DATE):,} up to date"] if plan.count(Verdict.UP_TO_DATE) else []
    counts += [f"{len(plan.orphans):,} no longer declared"] if plan.orphans else []
    head = ["### qwenbuild plan", "", " · ".join(counts) or "nothing is selected", ""]
    head += [f"{word}: {_code(value)}\n" for word, value in given_lines(plan)]
    head += _prices(plan)
    head += [f"Warning: {_code(problem.claim)}\n" for problem in (*plan.warnings, *plan.advice, *plan.costly)]
    text = "\n".join(head).rstrip() + "\n"
    return _fitted(text, [*_changes(changes or ()), *_verdicts(plan), *_orphans(plan)])


def _prices(plan: Plan) -> Iterator[str]:
    if plan.bill:
        yield "| model | renders | each | in all |"
        yield "|---|--:|--:|--:|"
        for line in plan.bill:
            model, each, total = _code(line.model).replace("|", "\\|"), line.each, line.total
            about = "about " * each.is_about
            price = f"{about}{each.amount.normalize():f} {each.currency}{' (assumed)' * each.is_assumed}"
            yield f"| {model} | {line.renders:,} | {price} | **{total.amount:.2f} {total.currency}** |"
        yield ""
    if plan.shortest_s >= 90:
        yield f"It takes at least {plan.shortest_s / 60:.0f} min."
    elif plan.shortest_s >= 1:
        yield f"It takes at least {plan.shortest_s:.0f} s."


_Section = tuple[str, Sequence[Any], Callable[[Any], str]]  # a title, items, and the function that writes an item


def _changes(changes: Iterable[Change]) -> Iterator[_Section]:
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.kind, []).append(change)
    for kind in ("changed", "repinned", "added", "dropped"):
        if group := groups.get(kind):
            yield f"{len(group):,} {kind} against the base", group, _change


def _change(change: Change) -> str:
    name = f"- {_code(change.name)}"
    if change.step is None:
        return f"{name}\n"
    request = change.step.action.request.as_dict()
    if change.kind == "added":
        return f"{name}\n\n{_fence(request['prompt'])}\n"
    if change.before is None:
        return f"{name}: {_code(change.reason)}\n"
    others = {**change.before, "prompt": request["prompt"]}
    fields = f": {_code(summary(others, request))}" if others != request else ""
    return f"{name}{fields}\n{_prompt(str(change.before.get('prompt', '')), request['prompt'])}"


def _prompt(old: str, new: str) -> str:
    """Return the difference of two prompts, word by word, as a block that GitHub colours; "" if they are equal."""
    if old == new:
        return ""
    lines = [
        f"{sign} {line.strip(' ')}"
        for sign, text in pieces(old, new)
        for line in (_shortened(text) if sign == " " else text).split("\n")
        if line.strip(" ") or sign != " "
    ]
    return f"\n{_fence(chr(10).join(lines), 'diff')}\n"


def _shortened(text: str) -> str:
    """Return an unchanged text without its middle: only the words beside a change matter."""
    return text if len(text) <= 3 * _BESIDE else f"{text[:_BESIDE]}…{text[-_BESIDE:]}"


def _verdicts(plan: Plan) -> Iterator[_Section]:
    for verdict, word in _WORDS.items():
        steps = [step for step in plan.steps if step.verdict is verdict]
        if steps:
            yield f"{len(steps):,} {word}", steps, lambda step: f"- {_code(step.action.name)}: {_code(step.reason)}\n"


def _orphans(plan: Plan) -> Iterator[_Section]:
    if plan.orphans:
        yield f"{len(plan.orphans):,} no longer declared", plan.orphans, lambda orphan: f"- {_code(orphan.path)}\n"


def _fitted(text: str, sections: Iterable[_Section]) -> str:
    """Return the text and the folded sections, as far as they fit; items that do not fit are counted."""
    size = _size(text)
    for title, items, write in sections:
        opening, closing = f"\n<details><summary>{title}</summary>\n\n", "\n</details>\n"
        room = MOST_CHARACTERS - size - len(opening) - len(closing) - 40
        entries: list[str] = []
        for item in items:
            entry = write(item)
            room -= _size(entry)
            if room < 0:
                break
            entries.append(entry)
        left = len(items) - len(entries)
        section = opening + "".join(entries) + (f"\nand {left:,} more\n" if left else "") + closing
        if MOST_CHARACTERS - size >= len(opening) + len(closing) + 40:
            text += section
            size += _size(section)
    return text


def _size(text: str) -> int:
    """Return the length of a text in UTF-16 units, as GitHub counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _code(text: str) -> str:
    """Return text as a code span; its delimiter is longer than any run of backticks inside."""
    shown = visible(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{ticks} {shown} {ticks}" if "`" in shown else f"`{shown}`" if shown else ""


def _fence(text: str, language: str = "text") -> str:
    """Return text as a fenced block; its fence is longer than any run of backticks inside."""
    shown = visible(text, keep="\n")
    shown = shown if len(shown) <= _MOST_PROMPT else shown[:_MOST_PROMPT] + "…"
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return "\n".join(f"  {line}" for line in (f"{ticks}{language}", *shown.split("\n"), ticks)) + "\n"
