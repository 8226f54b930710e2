"""The explanation of an output: its changes, the sources of its values, and its remedy.

Explaining reads state, store, specs, templates and the present image, and changes nothing. The state
records the request of the last render. Without that record the image's own provenance is shown; anybody
can have written it, so no decision depends on it.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qwenbuild.digest import canonical_json
from qwenbuild.errors import BadImage, UsageError
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.options import Options
from qwenbuild.provider import OPTIONS, Price, Provider, accounted
from qwenbuild.specs import prompt_sources
from qwenbuild.specs.action import Action
from qwenbuild.specs.field_sources import Source, Sources
from qwenbuild.specs.project import Project
from qwenbuild.storage.lanes import Lanes
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.outputs import POINTER
from qwenbuild.storage.records import PastImage
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

from .diff import pieces, summary
from .judge import judge
from .lacking import HINT, PULL
from .plan import Plan, Step, Verdict

MOST = 20
"""The most cells that are explained at once: a person reads them."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request. `before` is its earlier value, None if the value did not change.

    `difference` has the edits of a prompt, word by word (see `diff.pieces`); it is empty for other fields.
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
    """What brings an output up to date: a command (empty if there is none), its effect, and its price."""

    command: str
    effect: str
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One output, explained.

    `before` is an earlier request (as `Request.as_dict`), and `compared` names the image that was made
    from it; None and empty if no other request is known. `segments` are the prompt's parts, `variables`
    the sources of the names in them. `history` has the newest image first; `kept` are the digests of
    the images that are in the store.
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
    """Explains steps of one project's plan. `options` are the user's: a suggested command repeats some of them."""

    def __init__(self, project: Project, state: State, store: Store, lanes: Lanes, options: Options) -> None:
        self._project, self._state, self._store, self._lanes = project, state, store, lanes
        given = {"provider": options.provider, "region": options.region, "interface": options.interface,
                 "profile": options.profile}  # fmt: skip
        self._options = {name: value for name, value in given.items() if value}
        self._variables = options.variables
        self._records = state.outputs()

    def explain(self, plan: Plan) -> list[Explanation]:
        """Return an explanation of each step; raises UsageError for more than `MOST` steps."""
        if len(plan.steps) > MOST:
            raise UsageError(
                f"{len(plan.steps):,} cells are selected; at most {MOST} are explained at once",
                hint="name cells or outputs, or narrow with -w AXIS=VALUE; `qwenbuild plan` lists all",
                name="too-many-cells",
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
            if name == "seed" and action.is_seed_random:
                fields.append(Field(name, "not drawn yet", origin[name]))
                continue
            was = before.get(name, "") if before else value
            if name not in ("label", "parameters"):  # the label is the cell's name
                fields.append(Field(name, value, origin[name], None if was == value else was))
        fields[1:1] = self._served_by(action, sources)
        provider = self._lanes.of(action.choice).provider.name
        fields += _parameters(action.request.as_dict(), before, partial(sources.parameter, provider=provider))
        names = dict.fromkeys(name for _, names in segments for name in names)
        return Explanation(
            step, fields, origin["output"], compared, before,
            segments, {name: source for name in names if (source := sources.variable(name))},
            self._remedy(step, plan), history,
            frozenset(past.image for past in history if self._store.blob_path(past.image).exists()),
        )  # fmt: skip

    def _served_by(self, action: Action, sources: Sources) -> list[Field]:
        """Return the region and the interface that render an action, which are no part of its request."""
        provider = self._lanes.of(action.choice).provider
        return [
            Field(name, value, sources.setting(name, provider.name, asked=name in self._options))
            for name, value in _place(provider, action.model.name).items()
        ]

    def _before(self, step: Step, history: Sequence[PastImage]) -> tuple[str, Mapping[str, Any] | None]:
        """Return which image the step is compared with, and that image's request."""
        action, wanted = step.action, step.action.request.as_dict()
        there = step.seen is not None
        record = self._records.get(action.output)
        latest: Mapping[str, Any] | None = self._state.request(record.key) if record else None
        which = "the present image" if there else "the last recorded image"
        if latest is None and step.seen is not None and stat.S_ISREG(step.seen.st_mode):
            latest = self._provenance_request(action.output)
            which = "the present image, by its own provenance"
        if latest is None and history:
            latest, which = history[0].request, "the last recorded image"
        if latest is not None and latest != wanted:
            return which, latest
        for past in history:
            if past.request is not None and past.key != action.key:
                return "the previous image", past.request
        return "", None

    def _provenance_request(self, output: str) -> Mapping[str, Any] | None:
        """Return the request in the provenance of an output's image; None if there is none."""
        try:
            request = (read_provenance_file(self._project.out / output) or {}).get("request")
        except (OSError, BadImage):
            return None
        return request if isinstance(request, dict) else None

    def _remedy(self, step: Step, plan: Plan) -> Remedy:
        """Return what brings the step's output up to date, and its price."""
        is_shared = len(plan.steps) > 1 and any(
            other.verdict is Verdict.RENDER and other.action.key == step.action.key for other in plan.steps
        )
        if step.cause == POINTER and step.verdict in (Verdict.EDITED, Verdict.MISSING):
            return Remedy("git lfs pull", f"fetch its image: {PULL}")
        match step.verdict:
            case Verdict.UP_TO_DATE:
                return Remedy("", "nothing: it is up to date")
            case Verdict.EDITED:
                again = self._judged(step, plan.lock, Options(overwrite=True))
                if again.verdict is Verdict.EDITED:
                    return Remedy("", "move the file or folder in its place away, then build")
                return self._building(again, "--overwrite", "replace the file in its place, and ")
            case Verdict.UNKNOWN:
                again = self._judged(step, plan.lock, Options(resubmit=True))
                return self._building(again, "--resubmit", "send again what may have been billed, and ")
            case Verdict.MISSING:
                again = self._judged(step, plan.lock, Options(relock=True))
                return self._building(again, "--relock", f"{HINT}. This would pin other bytes, and ")
            case Verdict.FAILED:
                again = self._judged(step, plan.lock, Options(accept_size=True))
                if again.verdict is Verdict.RESTORE:
                    return self._building(again, "--accept-size", "take the image in its other size, and ")
                again = self._judged(step, plan.lock, Options(retry_failed=True))
                return self._building(again, "--retry-failed", "send the same request again, and ")
            case Verdict.RESTORE if is_shared:
                return self._building(self._judged(step, plan.lock, Options()))
            case _:
                return self._building(step)

    def _judged(self, step: Step, lock: Lock, options: Options) -> Step:
        judged = judge(
            [step.action], self._project.out, self._records, self._state, self._store, self._lanes, options, lock
        )
        return judged[0]

    def _building(self, step: Step, option: str = "", first: str = "") -> Remedy:
        """Return the remedy that builds this step, with `option`; `first` is what the option does."""
        match step.verdict:
            case Verdict.RESTORE:
                effect = "restore its image from the store"
            case Verdict.REATTACH:
                effect = "collect its image from the service"
            case _:
                effect = "render it"
        chosen = [part for name, value in self._options.items() for part in (f"--{name}", value)]
        chosen += [part for variable in self._variables for part in ("--var", variable)]
        words = ["qwenbuild", "build", *([option] if option else []), *chosen, step.action.name]
        price = step.price if step.verdict is Verdict.RENDER else None
        return Remedy(shlex.join(words), first + effect, price)


def _place(provider: Provider, model: str) -> Mapping[str, str]:
    """Return the region and the interface that render a model, as far as the provider has them.

    A provider whose models differ in their interfaces has the method `interface_of(model)`.
    """
    account = accounted(provider)
    found = {name: text for name, text in account.account().items() if name in OPTIONS} if account else {}
    interface_of = getattr(provider, "interface_of", None)
    return {**found, "interface": interface_of(model)} if found and interface_of else found


def _parameters(
    request: Mapping[str, Any], before: Mapping[str, Any] | None, source: Callable[[str], Source]
) -> Iterator[Field]:
    """Yield a field for each vendor parameter of a request, and for each that only the request before it had.

    A value is None if the request does not have the parameter any more.
    """
    tables = [it.get("parameters") for it in (request, before or request)]
    now, then = (table if isinstance(table, dict) else {} for table in tables)
    for name in {**now, **then}:
        is_same = name in now and name in then and canonical_json(now[name]) == canonical_json(then[name])
        yield Field(f"parameter {name}", now.get(name), source(name), None if is_same else then.get(name, ""))


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as `explain --json` prints it."""
    action, remedy, failure = explanation.step.action, explanation.remedy, explanation.step.failure
    price = remedy.price
    return {
        "event": "explanation",
        "name": action.name,
        "path": action.output,
        "path_source": _source(explanation.output),
        "verdict": explanation.step.verdict.value,
        "reason": explanation.step.reason,
        "key": action.key,
        "failure": failure and failure.as_dict(),
        "emulated_by": action.emulated_by or None,
        "fields": [
            {"name": one.name, "value": one.value, "source": _source(one.source),
             **({} if one.before is None else {"before": one.before}),
             **({"difference": [{"sign": sign, "text": text} for sign, text in one.difference]}
                if one.difference else {})}
            for one in explanation.fields
        ],
        "compared_with": explanation.compared or None,
        "segments": [{"text": text, "names": list(names)} for text, names in explanation.segments],
        "variables": {name: _source(source) for name, source in explanation.variables.items()},
        "remedy": {
            "command": remedy.command or None,
            "effect": remedy.effect,
            "price": {"amount": str(price.amount), "currency": price.currency} if price else None,
        },
        "history": [
            {"at_s": round(past.at_s, 3), "image": past.image, "key": past.key,
             "in_store": past.image in explanation.kept, "request": past.request}
            for past in explanation.history
        ],
    }  # fmt: skip


def _source(source: Source) -> dict[str, Any]:
    place = source.place
    return {"kind": source.kind.value, "words": str(source), "file": place.path if place else None,
            "line": place.line or None if place else None}  # fmt: skip


def history_changes(history: Sequence[PastImage]) -> list[str]:
    """Return how the request of each image differs from that of the image before it; empty for the oldest."""
    found = []
    for past, earlier in zip(history, [*history[1:], None], strict=True):
        if earlier is None or past.request is None or earlier.request is None:
            found.append("")
        else:
            is_again = past.key == earlier.key
            found.append("rendered again" if is_again else summary(earlier.request, past.request))
    return found
