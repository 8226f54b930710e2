"""The gallery: the plan's cells as JSON, which both pages (preview and report) show.

Making a gallery reads the state, the store and files in `out/`, and changes nothing. The pages name each image
by its digest. `Gallery.files` has the paths of each digest; no other files are ever served.

A cell's `kind` says what its picture is:

| kind | the picture is |
|---|---|
| image | the image that the cell asks for |
| draft | a free draft of that image |
| old | the image that a render would replace |
| edited | a file that was changed by hand |
| none | missing: there is no picture yet |

A cell whose request changed has both pictures: `image` is the last real one (`old`), and `draft` is the digest of the
draft. So a save hides nothing that was paid for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from qwenbuild.events import Delayed, ImageFinished, ImageStarted, Outcome
from qwenbuild.files.text import nfc
from qwenbuild.plan import stars
from qwenbuild.plan.plan import Plan, Step, Verdict
from qwenbuild.plan.stars import Since, Starred
from qwenbuild.problems import Problem
from qwenbuild.provider import Price, makes_drafts
from qwenbuild.routes import Routes
from qwenbuild.specs import prompt_sources
from qwenbuild.specs.action import Action
from qwenbuild.specs.project import Project
from qwenbuild.storage.outputs import POINTER, digest
from qwenbuild.storage.picks import Picks
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

Activity = ImageStarted | ImageFinished | Delayed | None
"""The last event of a cell; None if the cell is queued for a render that has not started."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """`model` is ready for JSON. `files` are the paths where each image that it names may be, by digest."""

    model: dict[str, Any]
    files: Mapping[str, Sequence[Path]] = field(repr=False)


class GalleryMaker:
    """Makes the galleries of one project. It caches the cells' labels and the digests of edited files."""

    def __init__(self, project: Project, store: Store) -> None:
        self._project, self._store = project, store
        self._edited: dict[tuple[str, int, int, int], str] = {}
        self._labels_basis: object = None  # what `_labels` depends on
        self._labels: tuple[dict[str, Any], list[dict[str, Any]]] = ({}, [])

    def gallery(
        self, plan: Plan, state: State, routes: Routes, drafts: Mapping[str, str] | None = None,
        activities: Mapping[str, Activity] | None = None, picks: Picks | None = None,
    ) -> Gallery:  # fmt: skip
        """Return the gallery of a plan; `routes` has the providers of its images.

        `drafts`: digests of drafts by output path. `activities`: the last event of each cell by name.
        """
        maker = _CellMaker(self, routes, state.outputs(), drafts or {}, activities or {})
        common, labels = self._common_and_labels([step.action for step in plan.steps])
        if picks:
            near = [step for step, label in zip(plan.steps, labels, strict=True) if nfc(label["name"]) in picks]
            maker.stars = {it.pick.cell: it for it in stars.of_plan(replace(plan, steps=near), picks)}
        model = {
            "project": self._project.root.name,
            **common,
            "cells": [maker.cell(step, label) for step, label in zip(plan.steps, labels, strict=True)],
            "orphans": [{"path": orphan.path, "edited": orphan.edited} for orphan in plan.orphans],
            "counts": plan.counts,
            "emulated": sum(step.action.emulated is not None for step in plan.steps),
            "cost": amounts(plan.cost),
            "shortest_s": round(plan.shortest_s, 1),
        }
        return Gallery(model, maker.files)

    def _common_and_labels(self, actions: Sequence[Action]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what depends on the actions only: the part that all cells share, and a label for each cell.

        Both are cached: during a build a new gallery is made for every few images, and with 10,000 cells
        the labels take most of a gallery's time.
        """
        declarations = {id(action.declaration): action.declaration for action in actions}
        basis = (
            [(action.output, action.key, action.labels) for action in actions],
            [(it.name, repr(it.axes)) for it in declarations.values()],
        )
        if basis != self._labels_basis:
            axes = _axes(actions)
            common = {
                "axes": [{"name": name, "values": list(values)} for name, values in axes.items()],
                "ratios": {
                    str(it.size): name for it in actions if (name := it.model.ratio(it.size)) in it.model.ratios
                },
                "shared": _shared(actions, axes),
            }
            self._labels_basis, self._labels = basis, (common, [_label(action, axes) for action in actions])
        return self._labels

    def details(
        self, steps: Sequence[Step], state: State, prices: Mapping[str, Price | None]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, Sequence[Path]]]:
        """Return what the detail view of each cell shows, by output path, and the files of earlier images, by digest.

        `prices`: the cost of rendering the cell again, by output path.
        """
        segments = prompt_sources.of(self._project, [step.action for step in steps])
        records = state.outputs()
        found: dict[str, dict[str, Any]] = {}
        files: dict[str, Sequence[Path]] = {}
        for step in steps:
            action, record = step.action, records.get(step.action.output)
            price = prices.get(action.output)
            past = [it for it in state.history(action.output) if self.has(it.image)]
            files.update({it.image: [self._store.blob_path(it.image)] for it in past})
            entry = self._store.lookup(record.key if record and step.verdict is not Verdict.RESTORE else action.key)
            found[action.output] = {
                "segments": segments[action.output],
                "request": action.request.as_dict(),
                "before": step.before,
                "places": places(self._project, step.action),
                "history": [
                    {"image": it.image, "key": it.key, "at_s": round(it.at_s, 3), "request": it.request} for it in past
                ],
                "provenance": self._store.provenance(entry) if entry else None,
                "price": amounts({price.currency: price.amount}) if price else {},
            }
        return found, files

    def edited(self, step: Step) -> str:
        """Return the digest of an output that was changed by hand, "" if the output is not a file."""
        seen = step.seen
        if seen is None:
            return ""
        mark = (step.action.output, seen.st_size, seen.st_mtime_ns, seen.st_ino)
        if mark not in self._edited:
            self._edited[mark] = digest(self._project.out / step.action.output, seen)
        return self._edited[mark]

    def has(self, image: str) -> bool:
        """Return whether the store has an image."""
        return self._store.blob_path(image).exists()

    def places(self, image: str, output: str) -> list[Path]:
        """Return where the bytes of an image may be: in the store, else at the output path."""
        return [self._store.blob_path(image), self._project.out / output]


class _CellMaker:
    """Makes the cells of one gallery, and collects the files that they show in `files`."""

    def __init__(
        self, galleries: GalleryMaker, routes: Routes, records: Mapping[str, Output], drafts: Mapping[str, str],
        activities: Mapping[str, Activity],
    ) -> None:  # fmt: skip
        self._galleries, self._routes = galleries, routes
        self._records, self._drafts, self._activities = records, drafts, activities
        self.stars: Mapping[str, Starred] = {}
        self.files: dict[str, Sequence[Path]] = {}

    def cell(self, step: Step, label: Mapping[str, Any]) -> dict[str, Any]:
        action = step.action
        kind, image = self._picture(step)
        draft = self._drafts.get(action.output, "") if kind == "old" else ""
        for digest_shown in filter(None, (image, draft)):
            self.files.setdefault(digest_shown, self._galleries.places(digest_shown, action.output))
        cell: dict[str, Any] = {
            **label,
            "verdict": step.verdict.value,
            "reason": step.reason,
            "kind": kind if image else "none",
            "image": image,
        }
        if draft:
            cell["draft"] = draft
        if self.stars and (starred := self.stars.get(nfc(label["name"]))):
            pick, is_changed = starred.pick, starred.since is Since.CHANGED
            cell["star"] = {"note": pick.note, "rank": pick.rank, "changed": is_changed}
        if step.cause == POINTER:
            cell["why"] = POINTER
        if step.price:
            cell["price"] = amounts({step.price.currency: step.price.amount})
        if label["name"] in self._activities:
            cell |= _activity(self._activities[label["name"]])
        return cell

    def _picture(self, step: Step) -> tuple[str, str]:
        """Return the kind of a cell's picture, and its digest."""
        action, record = step.action, self._records.get(step.action.output)
        match step.verdict:
            case Verdict.UP_TO_DATE:
                return self._kind(action), step.adopted or (record.image if record else "")
            case Verdict.EDITED if step.cause != POINTER:
                return "edited", self._galleries.edited(step)
            case Verdict.RESTORE if step.entry:
                return self._kind(action), step.entry.image
        if record and (step.seen is not None or self._galleries.has(record.image)):
            return "old", record.image
        return ("draft", self._drafts[action.output]) if action.output in self._drafts else ("none", "")

    def _kind(self, action: Action) -> str:
        """Return whether a provider's image of an action is a draft or an image."""
        return "draft" if makes_drafts(self._routes.provider(action.choice)) else "image"


def places(project: Project, action: Action) -> list[dict[str, Any]]:
    """Return the files of the project in which a cell can be edited: `what` it is, the `file`, the `line` from 1."""
    declaration, template = action.declaration, action.declaration.image.template
    place = declaration.place("prompt" if template is None else "template")
    found = [("spec", place.path, max(1, place.line))]
    if template is not None:
        found.insert(0, ("template", f"{project.config.templates}/{template}", 1))
    return [{"what": what, "file": file, "line": line} for what, file, line in found if _is_inside(project, file)]


def _is_inside(project: Project, file: str) -> bool:
    return (project.root / file).resolve().is_relative_to(project.root.resolve())


def amounts(money: Mapping[str, Decimal]) -> dict[str, str]:
    """Return each currency's amount as a decimal text."""
    return {currency: str(amount) for currency, amount in money.items()}


def frames(problems: Iterable[Problem]) -> list[list[tuple[str, str]]]:
    """Return each problem as the lines that the terminal shows, and its name: pairs of a role and a text."""
    return [
        [*problem.lines(), *([("more", f"  = more: qwenbuild explain-error {problem.name}")] if problem.name else [])]
        for problem in problems
    ]


def summary(gallery: Gallery, last_run: Mapping[str, Any] | None, plan: Plan) -> dict[str, Any]:
    """Return the summary of a report: counts of kinds and models, the seeds, and the last run."""
    actions = [step.action for step in plan.steps]
    return {
        "kinds": dict(Counter(cell["kind"] for cell in gallery.model["cells"])),
        "models": dict(Counter(action.model.name for action in actions)),
        "seeds": sorted({action.seed for action in actions if not action.is_seed_random}),
        "last_run": last_run,
    }


def _activity(event: Activity) -> dict[str, Any]:
    if event is None:
        return {"activity": "queued"}
    if isinstance(event, ImageStarted):
        return {"activity": "running"}
    if isinstance(event, Delayed):
        return {"activity": "waiting", "said": event.reason, "again_at_s": round(event.again_at_s)}
    if event.outcome in (Outcome.FAILED, Outcome.UNKNOWN):
        return {"activity": event.outcome.value, "why": event.reason, "problems": frames(event.problems)}
    return {"activity": event.outcome.value, "seconds": round(event.seconds, 1)}


def _values(action: Action) -> dict[str, str]:
    """Return a cell's value for each axis, and its image, model, size and seed."""
    common = {"image": action.declaration.name, "model": action.model.name, "size": str(action.size),
              "seed": "random" if action.is_seed_random else str(action.seed)}  # fmt: skip
    return {**common, **action.cell}


def _axes(actions: Collection[Action]) -> dict[str, dict[str, int]]:
    """Return the axes that the page can arrange by: name -> value -> the value's number.

    These are `image`, the axes that a spec declares, and the fields in which the cells differ.
    """
    axes: dict[str, dict[str, int]] = {"image": {}}
    declared = {axis for action in actions for axis in action.declaration.axes}
    for action in actions:
        for axis, value in _values(action).items():
            axes.setdefault(axis, {}).setdefault(value, len(axes[axis]))
    last = ("model", "size", "seed")
    ordered = [axis for axis in axes if axis not in last] + [axis for axis in last if axis in axes]
    return {axis: axes[axis] for axis in ordered if axis == "image" or axis in declared or len(axes[axis]) > 1}


def _shared(actions: Collection[Action], axes: Collection[str]) -> dict[str, str]:
    """Return what all cells have in common and no axis says: their model, size and seed."""
    return (
        {} if not actions else {name: value for name, value in _values(next(iter(actions))).items() if name not in axes}
    )


def _label(action: Action, axes: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return a cell's name, path, size, key and prompt, and the number of its value on each axis (-1: none)."""
    values = _values(action)
    return {
        "name": action.name,
        "path": action.output,
        "at": [numbers.get(values.get(axis, ""), -1) for axis, numbers in axes.items()],
        "size": [action.size.width, action.size.height],
        "key": action.key,
        "prompt": action.request.prompt,
    }
