"""Routing: makes the providers of a project's images, from the config, the images' own choices, and the options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qwenbuild.options import Options
from qwenbuild.provider import OPTIONS, Provider, Settings, asked_by
from qwenbuild.providers.registry import create
from qwenbuild.routes import DEFAULT, Choice, Routes
from qwenbuild.specs.given import Given
from qwenbuild.specs.project import Project, find
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
            project.config.providers.get(name, {}), project.catalogue, environ, options.jobs, project.trust
        )
        given = {option: getattr(options, option) or getattr(choice, option) for option in OPTIONS}
        preferred = {option: getattr(project.profile, option, None) for option in OPTIONS}
        is_own = choice != DEFAULT  # then what is meant for the service may not concern the provider, such as drafts
        provider = create(name, settings, given, preferred, lenient=is_own)
        for item in asked_by(provider):  # so that plans can tell what is not approved
            project.trust.allows(item)
        return provider

    return Routes(make(DEFAULT), make, is_fixed=options.provider is not None, name=project.config.provider)


def submissions_of(engine: Engine, state: State, provider: Provider) -> Submissions:
    """Return a provider's submissions by this state; those that cost money are in the user's ledger, too."""
    is_paid = any(provider.price(model) for model in engine.project.catalogue.models)
    folder = ledger_folder(engine.environ, engine.store) if is_paid else None
    return Submissions(state, folder, provider, engine.project.root)
