"""The gallery: a plan's cells as the JSON model that the preview page and the report show.

Making it reads the state, the store and output files, and changes nothing. What a page may ask
for is named by digest; `files` says where those bytes lie, and nothing else is ever served.

A cell's `kind` says what its picture is:

| kind | the picture is |
|---|---|
| image | what the cell asks for |
| draft | a draft of it: free, and not the real thing |
| old | the image that a render would replace |
| edited | a file that was changed by hand |
| none | not there yet |
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from qwenbuild.events import ImageFinished, ImageStarted, Outcome
from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.problems import Problem, plain
from qwenbuild.provider import Price
from qwenbuild.specs import prompt_sources
from qwenbuild.specs.action import Action
from qwenbuild.specs.axis_values import length
from qwenbuild.specs.matrix import Declaration
from qwenbuild.specs.project import Project
from qwenbuild.storage.outputs import digest
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

Activity = ImageStarted | ImageFinished | None
"""What happened to a cell last; None where it is to be rendered and has not begun."""

_MOST_LITERALS = 10_000  # values of one axis whose TOML is looked up; a longer range is of numbers


@dataclass(frozen=True, slots=True)
class Gallery:
    """The model, ready for JSON, and where the bytes of each image that it names may lie, by digest."""

    model: dict[str, Any]
    files: Mapping[str, Sequence[Path]] = field(repr=False)


class Curator:
    """Makes galleries of one project; remembers what its actions came to, and the digests of edited files."""

    def __init__(self, project: Project, store: Store) -> None:
        self._project, self._store = project, store
        self._edited: dict[tuple[str, int, int, int], str] = {}
        self._labels: object = None  # what the labels of `_declared` rest on
        self._declared: tuple[dict[str, Any], list[dict[str, Any]]] = ({}, [])

    def gallery(
        self, plan: Plan, state: State, drafts: Mapping[str, str] | None = None,
        activities: Mapping[str, Activity] | None = None,
    ) -> Gallery:  # fmt: skip
        """Return the gallery of a plan.

        `drafts` are digests by output path, `activities` the last event of each cell by name.
        """
        hung = _Hanging(self, state.outputs(), drafts or {}, activities or {})
        common, labels = self._of_actions([step.action for step in plan.steps])
        model = {
            "project": self._project.root.name,
            **common,
            "cells": [hung.cell(step, label) for step, label in zip(plan.steps, labels, strict=True)],
            "orphans": [{"path": orphan.path, "edited": orphan.edited} for orphan in plan.orphans],
            "counts": plan.counts,
            "cost": amounts(plan.cost),
            "shortest_s": round(plan.shortest_s, 1),
        }
        return Gallery(model, hung.files)

    def _of_actions(self, actions: Sequence[Action]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what the actions alone decide, of all together and of each: while they stay, it does.

        A plan follows each image that a build makes, and ten thousand labels are most of its gallery.
        """
        declarations = {id(action.declaration): action.declaration for action in actions}
        basis = (
            [(action.output, action.key, action.labels) for action in actions],
            [(it.name, repr(it.axes)) for it in declarations.values()],
        )
        if basis != self._labels:
            axes = _axes(actions)
            common = {
                "axes": [{"name": name, "values": list(values)} for name, values in axes.items()],
                "literals": _literals(declarations.values()),
            }
            self._labels, self._declared = basis, (common, [_label(action, axes) for action in actions])
        return self._declared

    def details(
        self, steps: Sequence[Step], state: State, prices: Mapping[str, Price | None]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, Sequence[Path]]]:
        """Return what only a cell's own page shows, by output path, and the files of the images of the past.

        `prices` are those of rendering the cell anew, by output path.
        """
        segments = prompt_sources.of(self._project, [step.action for step in steps])
        records = state.outputs()
        found: dict[str, dict[str, Any]] = {}
        files: dict[str, Sequence[Path]] = {}
        for step in steps:
            action, record = step.action, records.get(step.action.output)
            price = prices.get(action.output)
            past = [it for it in state.history(action.output) if self._store.blob_path(it.image).exists()]
            files.update({it.image: [self._store.blob_path(it.image)] for it in past})
            entry = self._store.lookup(record.key if record and step.verdict is not Verdict.RESTORE else action.key)
            found[action.output] = {
                "segments": segments[action.output],
                "request": action.request.as_dict(),
                "before": step.before,
                "history": [
                    {"image": it.image, "key": it.key, "at_s": round(it.at_s, 3), "request": it.request} for it in past
                ],
                "provenance": self._store.provenance(entry) if entry else None,
                "price": amounts({price.currency: price.amount}) if price else {},
            }
        return found, files

    def edited(self, step: Step) -> str:
        """Return the digest of a file that was changed by hand, empty for what is no file."""
        seen = step.seen
        if seen is None:
            return ""
        mark = (step.action.output, seen.st_size, seen.st_mtime_ns, seen.st_ino)
        if mark not in self._edited:
            self._edited[mark] = digest(self._project.out / step.action.output, seen)
        return self._edited[mark]

    def places(self, image: str, output: str) -> list[Path]:
        """Return where the bytes of an image may lie: in the store, else in the output folder."""
        return [self._store.blob_path(image), self._project.out / output]


class _Hanging:
    """Makes the cells of one gallery, and gathers the files that they show."""

    def __init__(
        self, curator: Curator, records: Mapping[str, Output], drafts: Mapping[str, str],
        activities: Mapping[str, Activity],
    ) -> None:  # fmt: skip
        self._curator, self._records, self._drafts, self._activities = curator, records, drafts, activities
        self.files: dict[str, Sequence[Path]] = {}

    def cell(self, step: Step, label: Mapping[str, Any]) -> dict[str, Any]:
        action = step.action
        kind, image = self._picture(step)
        if image:
            self.files.setdefault(image, self._curator.places(image, action.output))
        cell: dict[str, Any] = {
            **label,
            "verdict": step.verdict.value,
            "reason": step.reason,
            "kind": kind if image else "none",
            "image": image,
        }
        if step.price:
            cell["price"] = amounts({step.price.currency: step.price.amount})
        if label["name"] in self._activities:
            cell |= _activity(self._activities[label["name"]])
        return cell

    def _picture(self, step: Step) -> tuple[str, str]:
        """Return what kind of picture a cell has, and its digest."""
        action, record = step.action, self._records.get(step.action.output)
        wanted = "draft" if is_draft(action.request.as_dict()) else "image"
        match step.verdict:
            case Verdict.UP_TO_DATE:
                return wanted, step.adopted or (record.image if record else "")
            case Verdict.EDITED:
                return "edited", self._curator.edited(step)
            case Verdict.RESTORE if step.entry:
                return wanted, step.entry.image
        if action.output in self._drafts:
            return "draft", self._drafts[action.output]
        return ("old", record.image) if record and step.seen is not None else ("none", "")


def is_draft(request: Mapping[str, Any]) -> bool:
    """Whether a request (as `Request.as_dict`) is for a draft."""
    return str(request.get("family", "")).startswith("draft")


def amounts(money: Mapping[str, Decimal]) -> dict[str, str]:
    """Return amounts by currency as decimal texts."""
    return {currency: str(amount) for currency, amount in money.items()}


def frames(problems: Iterable[Problem]) -> list[list[tuple[str, str]]]:
    """Return the code frames of problems, as the terminal shows them: lines with their roles."""
    return [problem.lines() for problem in problems]


def summary(gallery: Gallery, last_run: Mapping[str, Any] | None, plan: Plan) -> dict[str, Any]:
    """Return what a report says before its images: counts, cost, time, models and seeds."""
    actions = [step.action for step in plan.steps]
    return {
        "kinds": dict(Counter(cell["kind"] for cell in gallery.model["cells"])),
        "models": dict(Counter(action.model.name for action in actions)),
        "seeds": sorted({action.seed for action in actions}),
        "last_run": last_run,
    }


def _activity(event: Activity) -> dict[str, Any]:
    if event is None:
        return {"activity": "queued"}
    if isinstance(event, ImageStarted):
        return {"activity": "running"}
    if event.outcome in (Outcome.FAILED, Outcome.UNKNOWN):
        return {"activity": event.outcome.value, "why": event.reason, "problems": frames(event.problems)}
    return {"activity": event.outcome.value, "seconds": round(event.seconds, 1)}


def _values(action: Action) -> dict[str, str]:
    """Return a cell's value for each axis, and for what every cell has."""
    common = {"image": action.declaration.name, "model": action.model.name, "size": str(action.size),
              "seed": str(action.seed)}  # fmt: skip
    return {**common, **action.cell}


def _axes(actions: Collection[Action]) -> dict[str, dict[str, int]]:
    """Return the axes by which the cells differ, or that a spec declares, with the number of each value."""
    axes: dict[str, dict[str, int]] = {"image": {}}
    declared = {axis for action in actions for axis in action.declaration.axes}
    for action in actions:
        for axis, value in _values(action).items():
            axes.setdefault(axis, {}).setdefault(value, len(axes[axis]))
    last = ("model", "size", "seed")
    ordered = [axis for axis in axes if axis not in last] + [axis for axis in last if axis in axes]
    return {axis: axes[axis] for axis in ordered if axis == "image" or axis in declared or len(axes[axis]) > 1}


def _label(action: Action, axes: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return what a cell is called, where it stands among the axes, and what it asks for."""
    values = _values(action)
    return {
        "name": action.name,
        "path": action.output,
        "at": [numbers.get(values.get(axis, ""), -1) for axis, numbers in axes.items()],
        "size": [action.size.width, action.size.height],
        "key": action.key,
        "prompt": action.request.prompt,
    }


def _literals(declarations: Iterable[Declaration]) -> dict[str, dict[str, dict[str, str]]]:
    """Return how TOML writes values that are not texts, by image, axis and label."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for it in declarations:
        for axis, values in it.axes.items():
            if length(values) > _MOST_LITERALS:
                continue
            written = {plain(value): json.dumps(value) for value in values if isinstance(value, bool | int | float)}
            if written:
                found.setdefault(it.name, {})[axis] = written
    return found
