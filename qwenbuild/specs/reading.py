"""One reading of a project: its specs, templates and data become actions, or every problem in them is told."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qwenbuild.errors import Findings, TooManyRenders
from qwenbuild.problems import Problem
from qwenbuild.provider import Provider

from . import expand, matrix, spec
from .action import Action
from .field_sources import Sources
from .memory import Memory
from .project import Project
from .spec import Spec
from .template import Templates

_ALWAYS = 10_000  # cells are expanded in a second: what of them is to be rendered is then known exactly


class Reading:
    """A reading for one provider. `inputs` is what it rests on so far, also where it found mistakes."""

    def __init__(self, project: Project, provider: Provider, memory: Memory | None, max_renders: int) -> None:
        """`memory` is of earlier readings; `max_renders` is how many new renders a matrix may need."""
        self._project, self._provider, self._memory, self._max_renders = project, provider, memory, max_renders
        self.inputs: Sequence[Path] = ()

    def specs(self) -> list[Spec]:
        """Return the project's specs; raises ProjectError with every problem of all of them."""
        findings = Findings()
        found = self._specs(findings)
        findings.raise_if_any()
        return found

    def actions(self, image_counts: Iterable[Mapping[str, int]]) -> tuple[list[Action], list[Path]]:
        """Return every action, and the paths that they depend on; raises ProjectError, TooManyRenders.

        `image_counts` are how many outputs of each image are known to have been rendered: each time more, if asked.
        """
        findings, project = Findings(), self._project
        self.inputs = [*project.searched, *project.spec_folders(), *project.spec_paths()]
        specs = self._specs(findings)
        data = {path for each in specs for path in each.data_files}
        self.inputs = [*self.inputs, *data]
        declarations = matrix.declare(project, specs, findings)
        self._guard(declarations, image_counts)
        if self._memory:
            actions, read = self._memory.expand(project, declarations, self._provider, findings)
        else:
            templates = Templates(project.templates, project.config.templates)
            family, labelled = self._provider.family, self._provider.labelled
            actions = expand.expand(project.catalogue, templates, declarations, family, labelled, findings)
            read = templates.paths
        self.inputs = [*self.inputs, *read]
        findings.add(self._refused(actions))
        findings.raise_if_any()
        own = [Path(inspect.getfile(type(self._provider)))]  # a provider that changed may give other keys
        return actions, [*self.inputs, *own]

    def _specs(self, findings: Findings) -> list[Spec]:
        paths, specs = self._project.spec_paths(), []
        if not paths:
            hint = "`qwenbuild init` writes a first one"
            findings.add([Problem(f"no specs: nothing matches {self._project.config.specs}", hint=hint)])
        known = self._memory.specs if self._memory else {}
        for path in paths:
            told = findings.told
            loaded = spec.load(
                path, self._project.shown(path), self._project.spec_name(path), findings, known.pop(path, None)
            )
            if loaded:
                specs.append(loaded)
                if findings.told == told:
                    known[path] = loaded
        return specs

    def _guard(self, declarations: Sequence[matrix.Declaration], image_counts: Iterable[Mapping[str, int]]) -> None:
        """Refuse a matrix that must need too many renders, before it is expanded."""
        most = max(self._max_renders, _ALWAYS)
        if sum(declaration.cells for declaration in declarations) <= most:
            return
        cells = {it.name: matrix.count(it, self._project.catalogue) for it in declarations}
        for known in image_counts:
            new = {name: max(0, count - known.get(name, 0)) for name, count in cells.items()}
            if sum(new.values()) <= most:
                return
        largest = max(new, key=lambda name: new[name])
        facts = [f"largest matrix: {largest}"]
        check_renders(sum(new.values()), self._max_renders, "smaller axes and exclude make", facts)

    def _refused(self, actions: Iterable[Action]) -> list[Problem]:
        """Return a problem for each image and reason for which the provider can't render requests."""
        first: dict[tuple[int, str], Action] = {}
        for action in actions:
            first.setdefault((id(action.declaration), action.model.name), action)
        found: dict[tuple[str, str], Problem] = {}
        for (_, model), action in first.items():
            if reason := self._provider.check(model):
                it = action.declaration
                stated = Sources(self._project, action, asked=False).fields()["model"].place
                place = stated or it.spec.source.place(it.keys)
                found.setdefault((it.name, reason), Problem(reason, place, facts=[f"cell: {action.name}"]))
        return list(found.values())


def check_renders(renders: int, most: int, fewer: str = "-w AXIS=VALUE makes", facts: Sequence[str] = ()) -> None:
    """Raise TooManyRenders where there are more than `most`; `fewer` is what would lessen them."""
    if renders > most:
        raise TooManyRenders(
            f"{renders:,} new renders; at most {most:,} are allowed",
            facts=facts,
            hint=f"--max-renders {renders} allows them, {fewer} them fewer",
        )
