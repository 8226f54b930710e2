"""Why an output is what it is: what differs from the last time, where each value came from, what would mend it.

Explaining reads the state, the store, specs, templates and the image in place, and changes nothing. What was
rendered the last time is on record in the state; where that is lost, the image's own provenance
tells, which anybody can have written: it is shown, and nothing rests on it.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenbuild.errors import UsageError
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.options import Options
from qwenbuild.provider import Price, Provider
from qwenbuild.specs import prompt_sources
from qwenbuild.specs.field_sources import Source, Sources
from qwenbuild.specs.project import Project
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.records import PastImage
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

from .diff import pieces, summary
from .judge import judge
from .plan import Plan, Step, Verdict

MOST = 20
"""Cells that one explanation is about at most: it is for reading."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request: its value, where that came from, and what it was before; None where it was the same.

    `difference` tells word by word how a prompt came of what it was (see `changes.pieces`).
    """

    name: str
    value: Any
    source: Source
    before: Any = None

    @property
    def difference(self) -> list[tuple[str, str]]:
        if self.before is None or not self.name.endswith("prompt"):
            return []
        return pieces(str(self.before), str(self.value))


@dataclass(frozen=True, slots=True)
class Remedy:
    """What would make an output up to date: a command, empty where there is none, what it does, and what that costs."""

    command: str
    effect: str
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One output, explained.

    `compared` says which image `before`, a request as `Request.as_dict`, was of; both are empty
    where no other is known. `segments` are those of the prompt, `variables` the sources of the names
    in them. `history` has the newest image first; the bytes of those in `kept` are in the store.
    """

    step: Step
    fields: Sequence[Field]
    output: Source
    compared: str
    before: Mapping[str, Any] | None
    segments: Sequence[prompt_sources.Segment]
    variables: Mapping[str, Source]
    remedy: Remedy
    history: Sequence[PastImage]
    kept: frozenset[str]


class Explainer:
    """Explains steps of one project's plan. `options` are those of a command that mean the same to a build."""

    def __init__(self, project: Project, state: State, store: Store, provider: Provider, options: Options) -> None:
        self._project, self._state, self._store, self._provider = project, state, store, provider
        given = {"provider": options.provider, "region": options.region, "interface": options.interface}
        self._options = {name: value for name, value in given.items() if value}
        self._records = state.outputs()

    def explain(self, plan: Plan) -> list[Explanation]:
        """Return an explanation of each step; raises UsageError for more than `MOST`."""
        if len(plan.steps) > MOST:
            raise UsageError(
                f"{len(plan.steps):,} cells are selected; at most {MOST} are explained at once",
                hint="name cells or outputs, or narrow with -w AXIS=VALUE; `qwenbuild plan` tells of all",
            )
        segments = prompt_sources.of(self._project, [step.action for step in plan.steps])
        return [self._one(step, plan, segments[step.action.output]) for step in plan.steps]

    def _one(self, step: Step, plan: Plan, segments: Sequence[prompt_sources.Segment]) -> Explanation:
        action = step.action
        sources = Sources(self._project, action, asked="provider" in self._options)
        history = self._state.history(action.output)
        compared, before = self._before(step, history)
        origin = sources.fields()
        fields = []
        for name, value in action.request.as_dict().items():
            was = before.get(name, "") if before else value
            if name != "label":  # it is the cell's name
                fields.append(Field(name, value, origin[name], None if was == value else was))
        names = dict.fromkeys(name for _, names in segments for name in names)
        return Explanation(
            step, fields, origin["output"], compared, before,
            segments, {name: source for name in names if (source := sources.variable(name))},
            self._remedy(step, plan), history,
            frozenset(past.image for past in history if self._store.blob_path(past.image).exists()),
        )  # fmt: skip

    def _before(self, step: Step, history: Sequence[PastImage]) -> tuple[str, Mapping[str, Any] | None]:
        """Return which image the request is compared with, and that one's request."""
        action, wanted = step.action, step.action.request.as_dict()
        there = step.seen is not None
        record = self._records.get(action.output)
        latest: Mapping[str, Any] | None = self._state.request(record.key) if record else None
        which = "the image in place" if there else "the image that stood here"
        if latest is None and step.seen is not None and stat.S_ISREG(step.seen.st_mode):
            latest = self._told(action.output)
            which = "the image in place, by what it says of itself"
        if latest is None and history:
            latest, which = history[0].request, "the image that stood here"
        if latest is not None and latest != wanted:
            return which, latest
        for past in history:
            if past.request is not None and past.key != action.key:
                return "the image before this one", past.request
        return "", None

    def _told(self, output: str) -> Mapping[str, Any] | None:
        """Return the request that an image says it was made from."""
        try:
            request = (read_provenance_file(self._project.out / output) or {}).get("request")
        except OSError:
            return None
        return request if isinstance(request, dict) else None

    def _remedy(self, step: Step, plan: Plan) -> Remedy:
        """Return what would make the step's output up to date, and at what price."""
        alone = len(plan.steps) > 1 and any(
            other.verdict is Verdict.RENDER and other.action.key == step.action.key for other in plan.steps
        )
        match step.verdict:
            case Verdict.UP_TO_DATE:
                return Remedy("", "nothing: it is what its spec asks for")
            case Verdict.EDITED:
                again = self._judged(step, plan.lock, Options(overwrite=True))
                if again.verdict is Verdict.EDITED:
                    return Remedy("", "move away what is in its place, then build")
                return self._building(again, "--overwrite", "give up what is in its place, and ")
            case Verdict.UNKNOWN:
                again = self._judged(step, plan.lock, Options(resubmit=True))
                return self._building(again, "--resubmit", "send what may have been billed again, and ")
            case Verdict.MISSING:
                again = self._judged(step, plan.lock, Options(relock=True))
                return self._building(again, "--relock", "pin other bytes, and ")
            case Verdict.RESTORE if alone:
                return self._building(self._judged(step, plan.lock, Options()))
            case _:
                return self._building(step)

    def _judged(self, step: Step, lock: Lock, options: Options) -> Step:
        judged = judge(
            [step.action], self._project.out, self._records, self._state, self._store, self._provider, options, lock
        )
        return judged[0]

    def _building(self, step: Step, option: str = "", first: str = "") -> Remedy:
        """Return the build of a step as remedy."""
        match step.verdict:
            case Verdict.RESTORE:
                effect = "restore its bytes, which were rendered before"
            case Verdict.REATTACH:
                effect = "collect what the service has accepted"
            case _:
                effect = "render it"
        chosen = [part for name, value in self._options.items() for part in (f"--{name}", value)]
        words = ["qwenbuild", "build", *([option] if option else []), *chosen, step.action.name]
        price = step.price if step.verdict is Verdict.RENDER else None
        return Remedy(shlex.join(words), first + effect, price)


def as_dict(it: Explanation) -> dict[str, Any]:
    """Return an explanation as `explain --json` prints it."""
    action, remedy = it.step.action, it.remedy
    price = remedy.price
    return {
        "event": "explanation",
        "name": action.name,
        "path": action.output,
        "path_source": _source(it.output),
        "verdict": it.step.verdict.value,
        "reason": it.step.reason,
        "key": action.key,
        "fields": [
            {"name": one.name, "value": one.value, "source": _source(one.source),
             **({} if one.before is None else {"before": one.before}),
             **({"difference": [{"sign": sign, "text": text} for sign, text in one.difference]}
                if one.difference else {})}
            for one in it.fields
        ],
        "compared_with": it.compared or None,
        "segments": [{"text": text, "names": list(names)} for text, names in it.segments],
        "variables": {name: _source(source) for name, source in it.variables.items()},
        "remedy": {
            "command": remedy.command or None,
            "effect": remedy.effect,
            "price": {"amount": str(price.amount), "currency": price.currency} if price else None,
        },
        "history": [
            {"at_s": round(past.at_s, 3), "image": past.image, "key": past.key, "in_store": past.image in it.kept,
             "request": past.request}
            for past in it.history
        ],
    }  # fmt: skip


def _source(source: Source) -> dict[str, Any]:
    place = source.place
    return {"kind": source.kind.value, "words": str(source), "file": place.path if place else None,
            "line": place.line or None if place else None}  # fmt: skip


def turned(history: Sequence[PastImage]) -> list[str]:
    """Return how each image of a history differs from the one before it, in words; the oldest has none."""
    found = []
    for past, earlier in zip(history, [*history[1:], None], strict=True):
        if earlier is None or past.request is None or earlier.request is None:
            found.append("")
        else:
            found.append("rendered again" if past.key == earlier.key else summary(earlier.request, past.request))
    return found
