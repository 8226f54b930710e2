"""Routing: makes the providers of a project's images, from the config, the images' own choices, and the options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from qwenbuild.catalogue import BadDeclaration, Catalogue, OpenCatalogue
from qwenbuild.errors import ProjectError, WrongSettings
from qwenbuild.options import Options
from qwenbuild.own_servers import default_model, serves_any_model
from qwenbuild.problems import Problem
from qwenbuild.provider import OPTIONS, Provider, Settings, accounted, asked_by
from qwenbuild.providers import registry
from qwenbuild.routes import DEFAULT, Choice, Routes
from qwenbuild.specs.given import Given
from qwenbuild.specs.project import Project, badly_declared, find
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions, ledger_folder

if TYPE_CHECKING:
    from .engine import Engine


def found(start: Path, options: Options, environ: Mapping[str, str]) -> Project:
    """Return the project around the folder `start` with what the options give; raises what `find` raises."""
    return find(start, environ, given=Given.of(options))


def again(engine: Engine, options: Options) -> Project:
    """Return the engine's project as it is now, with what the options give; raises what `find` raises."""
    return found(engine.project.searched[0].parent, options, engine.environ)


def routes_of(project: Project, options: Options, environ: Mapping[str, str]) -> Routes:
    """Return the providers of a project's images. Raises UsageError if the default one can't be made.

    The command line comes before an image's own choice, then the profile, then the config.
    """

    def make(choice: Choice) -> Provider:
        name = options.provider or choice.provider or project.config.provider
        settings = Settings(
            project.config.providers.get(name, {}), project.catalogue, environ, options.jobs, project.trust,
            root=project.root,
        )  # fmt: skip
        given = {option: getattr(options, option) or getattr(choice, option) for option in OPTIONS}
        preferred = {option: getattr(project.profile, option, None) for option in OPTIONS}
        is_own = choice != DEFAULT  # then what is meant for the service may not concern the provider, such as drafts
        try:
            provider = registry.create(name, settings, given, preferred, lenient=is_own)
        except WrongSettings as wrong:
            written = settings.table.keys() - {option for option, value in given.items() if value}
            if any(key not in written for key, _ in wrong.faults) and is_own:
                raise  # the reader shows the image that chooses it
            raise ProjectError(list(_placed(project, name, written, wrong))) from None
        for item in asked_by(provider):  # so that plans can tell what is not approved
            project.trust.allows(item)
        return provider

    @cache
    def opened(default_model: str) -> Catalogue:
        try:
            return OpenCatalogue(project.config.models, default_model)
        except BadDeclaration as error:
            raise badly_declared(project.file, error) from None

    def catalogue(choice: Choice, provider: Provider) -> Catalogue | None:
        makers: list[object] = [provider]
        if accounted(provider) is None:  # it is free, and may stand in for the image's own, as that of drafts does
            written = project.file.table.get("provider")  # a profile may have another
            replaced = choice.provider if choice.provider not in ("", provider.name) else written
            makers += map(registry.find, filter(None, [replaced]))
        found = next(filter(serves_any_model, makers), None)
        return opened(default_model(found)) if found else None

    is_fixed = options.provider is not None
    return Routes(make(DEFAULT), make, is_fixed, project.config.provider, catalogue)


def _placed(project: Project, name: str, written: Set[str], wrong: WrongSettings) -> Iterator[Problem]:
    """Yield what is wrong with a provider's settings, with the places of the `written` ones in the config."""
    file = project.file
    for key, error in wrong.faults:
        keys, is_unknown = (*file.keys, "providers", name, key), f'"{key}"' in error.claim
        place = file.source.place(keys, key=is_unknown) if key in written else None
        for problem in error.problems:
            yield replace(problem, place=problem.place or place)


def submissions_of(engine: Engine, state: State, provider: Provider) -> Submissions:
    """Return a provider's submissions by this state; those that cost money are in the user's ledger, too."""
    is_paid = any(provider.price(model) for model in engine.project.catalogue.models)
    folder = ledger_folder(engine.environ, engine.store) if is_paid else None
    return Submissions(state, folder, provider, engine.project.root)
