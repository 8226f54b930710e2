"""The reader: turns a project's files into actions, or reports every problem in them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qwenbuild.errors import MOST_PROBLEMS, Findings, TooManyRenders
from qwenbuild.problems import Problem
from qwenbuild.provider import Provider

from . import axes, expand, matrix, samples, spec
from .action import Action
from .declaration import Declaration, declare
from .field_sources import Sources
from .output_paths import Recorded, no_records
from .project import Project
from .read_cache import ReadCache
from .spec import Spec
from .template import Templates

_ALWAYS_EXPANDED = 10_000  # cells; this many take a second, and then the number of new renders is known exactly


class Reader:
    """Reads a project once, for one provider.

    `inputs` are the files and folders that the result depends on. They are set even if the read finds mistakes.
    """

    def __init__(
        self,
        project: Project,
        provider: Provider,
        cache: ReadCache | None,
        max_renders: int,
        all_errors: bool = False,
    ) -> None:
        """`cache` holds what earlier reads produced. `max_renders` is the most new renders that are allowed.

        With `all_errors`, all problems of an image are told in full, not only the first ones.
        """
        self._most = None if all_errors else MOST_PROBLEMS
        self._project, self._provider, self._cache, self._max_renders = project, provider, cache, max_renders
        self.inputs: Sequence[Path] = ()

    def specs(self) -> list[Spec]:
        """Return the project's specs; raises ProjectError with the problems of all of them."""
        findings = Findings(self._most)
        found = self._specs(self._project.spec_paths(), findings)
        findings.raise_if_any()
        return found

    def actions(
        self, image_counts: Iterable[Mapping[str, int]], recorded: Recorded = no_records
    ) -> tuple[list[Action], list[Path]]:
        """Return (every action, the paths that they depend on); raises ProjectError or TooManyRenders.

        `image_counts` map an image's name to the number of its outputs that are known to have been rendered. Each
        mapping counts more than the one before and takes longer to make, so the next one is read only if needed.
        `recorded` gives the lock's records: paths that it records stay.
        """
        findings, project = Findings(self._most), self._project
        paths = project.spec_paths()
        self.inputs = [*project.searched, *project.spec_folders(), *paths]
        specs = self._specs(paths, findings)
        self.inputs = [*self.inputs, *axes.data_files(project, specs)]
        declarations = declare(project, specs, findings)
        if refused := self._too_many_renders(declarations, image_counts):
            templates = Templates(project.templates, project.config.templates)
            samples.check(
                project.catalogue, templates, declarations, self._provider.family, self._provider.labelled, findings
            )
            self.inputs = [*self.inputs, *templates.paths]
            if findings.problems:
                findings.add(refused.problems)
            findings.raise_if_any()
            raise refused
        if self._cache:
            actions, read = self._cache.expand(project, declarations, self._provider, recorded, findings)
        else:
            templates = Templates(project.templates, project.config.templates)
            family, labelled = self._provider.family, self._provider.labelled
            actions = expand.expand(project.catalogue, templates, declarations, family, labelled, recorded, findings)
            read = templates.paths
        self.inputs = [*self.inputs, *read]
        findings.add(self._refused_by_provider(actions))
        findings.raise_if_any()
        own = [Path(inspect.getfile(type(self._provider)))]  # another version of the provider may give other keys
        return actions, [*self.inputs, *own]

    def _specs(self, paths: Sequence[Path], findings: Findings) -> list[Spec]:
        specs, cache = [], self._cache
        if not paths:
            hint = "`qwenbuild init` writes a first spec"
            findings.add([Problem(f"no specs: nothing matches {self._project.config.specs}", hint=hint)])
        for path in paths:
            before = findings.added
            shown, name = self._project.shown(path), self._project.spec_name(path)
            loaded = spec.load(path, shown, name, findings, cache.take_spec(path) if cache else None)
            if loaded:
                specs.append(loaded)
                if cache and findings.added == before:
                    cache.keep_spec(loaded)
        return specs

    def _too_many_renders(
        self, declarations: Sequence[Declaration], image_counts: Iterable[Mapping[str, int]]
    ) -> TooManyRenders | None:
        """Return the error if the matrices are sure to need too many new renders. Nothing is expanded."""
        most = max(self._max_renders, _ALWAYS_EXPANDED)
        if sum(declaration.cells for declaration in declarations) <= most:
            return None
        cells = {each.name: matrix.count(each, self._project.catalogue) for each in declarations}
        for known in image_counts:
            new = {name: max(0, count - known.get(name, 0)) for name, count in cells.items()}
            if sum(new.values()) <= most:
                return None
        largest = max(new, key=lambda name: new[name])
        facts = [f"largest matrix: {largest}"]
        return _too_many(sum(new.values()), self._max_renders, "smaller axes or more excludes need fewer", facts)

    def _refused_by_provider(self, actions: Iterable[Action]) -> list[Problem]:
        """Return one problem for each image and each reason why the provider can't render its requests."""
        first: dict[tuple[int, str], Action] = {}  # by the image's declaration and the model
        for action in actions:
            first.setdefault((id(action.declaration), action.model.name), action)
        found: dict[tuple[str, str], Problem] = {}
        for (_, model), action in first.items():
            if reason := self._provider.check(model):
                image = action.declaration
                stated = Sources(self._project, action, asked=False).fields()["model"].place
                place = stated or image.spec.source.place(image.keys)
                found.setdefault((image.name, reason), Problem(reason, place, facts=[f"cell: {action.name}"]))
        return list(found.values())


def check_renders(renders: int, most: int) -> None:
    """Raise TooManyRenders if `renders` is over `most`."""
    if renders > most:
        raise _too_many(renders, most, "-w AXIS=VALUE selects fewer")


def _too_many(renders: int, most: int, fewer: str, facts: Sequence[str] = ()) -> TooManyRenders:
    """Return the error; `fewer` is the hint that says how to need fewer renders."""
    return TooManyRenders(
        f"{renders:,} new renders; at most {most:,} are allowed",
        facts=facts,
        hint=f"--max-renders {renders} allows them; {fewer}",
    )
