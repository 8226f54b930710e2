"""Routing: makes the providers of a project's images, from the config, the images' own choices, and the options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qwenbuild.options import Options
from qwenbuild.provider import OPTIONS, Provider, Settings, asked_by
from qwenbuild.providers.registry import create, takes
from qwenbuild.routes import DEFAULT, Choice, Routes
from qwenbuild.specs.project import Project
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions, ledger_folder

if TYPE_CHECKING:
    from .engine import Engine


def routes_of(project: Project, options: Options, environ: Mapping[str, str]) -> Routes:
    """Return the providers of a project's images. Raises UsageError if the default one can't be made.

    The command line comes before an image's own choice, and this before the config.
    """

    def make(choice: Choice) -> Provider:
        name = options.provider or choice.provider or project.config.provider
        settings = Settings(
            project.config.providers.get(name, {}), project.catalogue, environ, options.jobs, project.trust
        )
        given = {option: getattr(options, option) or getattr(choice, option) for option in OPTIONS}
        if choice != DEFAULT:  # what is meant for the service does not concern, say, drafts
            given = {option: value for option, value in given.items() if takes(name, option)}
        provider = create(name, settings, given)
        for item in asked_by(provider):  # so that plans can tell what is not approved
            project.trust.allows(item)
        return provider

    return Routes(make(DEFAULT), make, is_fixed=options.provider is not None)


def submissions_of(engine: Engine, state: State, provider: Provider) -> Submissions:
    """Return a provider's submissions by this state; those that cost money are in the user's ledger, too."""
    is_paid = any(provider.price(model) for model in engine.project.catalogue.models)
    folder = ledger_folder(engine.environ, engine.store) if is_paid else None
    return Submissions(state, folder, provider, engine.project.root)
