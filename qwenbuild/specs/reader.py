"""The reader: turns a project's files into actions, or reports every problem in them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from qwenbuild.errors import MOST_PROBLEMS, TooManyRenders, UsageError
from qwenbuild.own_servers import reading
from qwenbuild.problems import Problem
from qwenbuild.provider import OPTIONS, Provider, options_of
from qwenbuild.routes import Choice, Routes

from . import axes, expand, layers, matrix, samples, spec
from .action import Action
from .declaration import Declaration, declare
from .field_sources import Sources
from .findings import Findings
from .output_paths import Recorded, no_records
from .project import Project
from .read_cache import ReadCache
from .spec import Spec
from .template import Templates

_ALWAYS_EXPANDED = 10_000  # cells; this many take a second, and then the number of new renders is known exactly


class Reader:
    """Reads a project once, for the providers of its images.

    `inputs` are the files and folders that the result depends on. They are set even if the read finds mistakes.
    """

    def __init__(
        self,
        project: Project,
        routes: Routes,
        cache: ReadCache | None,
        max_renders: int,
        all_errors: bool = False,
    ) -> None:
        """`cache` holds what earlier reads produced. `max_renders` is the most new renders that are allowed.

        With `all_errors`, all problems of an image are told in full, not only the first ones.
        """
        self._most = None if all_errors else MOST_PROBLEMS
        self._project, self._routes, self._cache, self._max_renders = project, routes, cache, max_renders
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
        known = self._cache.rows if self._cache else None
        declarations = self._with_providers(declare(project, specs, findings, known), findings)
        for reader in filter(None, map(reading, {self._routes.provider(it.choice): None for it in declarations})):
            self.inputs = [*self.inputs, *reader.files()]
            findings.add(reader.read_files())
        if refused := self._too_many_renders(declarations, image_counts):
            templates = Templates(project.templates, project.config.templates)
            samples.check(templates, declarations, self._routes, findings)
            self.inputs = [*self.inputs, *templates.paths]
            if findings.problems:
                findings.add(refused.problems)
            findings.raise_if_any()
            raise refused
        if self._cache:
            actions, read = self._cache.expand(project, declarations, self._routes, recorded, findings)
        else:
            templates = Templates(project.templates, project.config.templates)
            actions = expand.expand(templates, declarations, self._routes, recorded, findings)
            read = templates.paths
        self.inputs = [*self.inputs, *read]
        findings.add(self._refused_by_provider(actions))
        findings.raise_if_any()
        # Another version of a provider may give other keys.
        own = dict.fromkeys(Path(inspect.getfile(type(provider))) for provider in self._routes.used.values())
        return actions, [*self.inputs, *own]

    def _with_providers(self, declarations: Sequence[Declaration], findings: Findings) -> list[Declaration]:
        """Return the images whose providers exist. Problems of the others go into `findings`."""
        found = []
        for declaration in declarations:
            try:
                provider = self._routes.provider(declaration.choice)
            except UsageError as error:
                [problem] = error.problems
                stated = _at_fault(declaration.choice, problem.claim)
                findings.add([replace(problem, place=declaration.place_of(stated))], declaration.name)
                continue
            if wrong := list(_useless(declaration, provider)):
                findings.add(wrong, declaration.name)
            else:
                catalogue = self._routes.catalogue(declaration.choice)
                found.append(replace(declaration, catalogue=catalogue) if catalogue else declaration)
        return found

    def _specs(self, paths: Sequence[Path], findings: Findings) -> list[Spec]:
        specs, cache = [], self._cache
        if not paths:
            hint = "`qwenbuild init` writes a first spec"
            findings.add(
                [Problem(f"no specs: nothing matches {self._project.config.specs}", hint=hint, name="no-specs")]
            )
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
        cells = {each.name: matrix.count(each) for each in declarations}
        for known in image_counts:
            new = {name: max(0, count - known.get(name, 0)) for name, count in cells.items()}
            if sum(new.values()) <= most:
                return None
        largest = max(new, key=lambda name: new[name])
        facts = [f"largest matrix: {largest}"]
        return _too_many(sum(new.values()), self._max_renders, "smaller axes, `exclude` or `only` need fewer", facts)

    def _refused_by_provider(self, actions: Iterable[Action]) -> list[Problem]:
        """Return one problem for each image and each reason why the provider can't render its requests."""
        first: dict[tuple[int, str], Action] = {}  # by the image's declaration and the model
        for action in actions:
            first.setdefault((id(action.declaration), action.model.name), action)
        found: dict[tuple[str, str], Problem] = {}
        for (_, model), action in first.items():
            if reason := self._routes.provider(action.choice).check(model):
                image = action.declaration
                stated = Sources(self._project, action, asked=False).fields()["model"].place
                place = stated or image.place()
                found.setdefault(
                    (image.name, reason),
                    Problem(reason, place, facts=[f"cell: {action.name}"], name="provider-refuses"),
                )
        return list(found.values())


def _at_fault(choice: Choice, claim: str) -> str:
    """Return the field of a choice that an error is about: the one whose value it quotes."""
    stated = {name: text for name, text in choice._asdict().items() if text}
    return next((name for name, text in stated.items() if f'"{text}"' in claim), next(iter(stated)))


def _useless(declaration: Declaration, provider: Provider) -> Iterator[Problem]:
    """Yield a problem for each setting that the provider beside it does not take.

    One that stands elsewhere may be meant for another provider, such as the one of the command line.
    """
    beside = layers.setting(declaration.layers, "provider")
    if beside is None or provider.name != declaration.choice.provider:
        return
    for option in OPTIONS:
        is_beside = layers.setting(declaration.layers, option) is beside
        if is_beside and option not in options_of(type(provider)):
            yield Problem(
                f'the provider "{provider.name}" takes no {option}',
                beside.place(option, key=True),
                name="option-not-taken",
            )


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
