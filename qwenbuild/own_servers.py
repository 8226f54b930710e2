"""Own servers: what a provider may say about a server of the user's own: its models, parameters and limits.

It belongs to the provider contract (`provider`): every part is optional, and is asked of these functions. The vendor's
catalogue describes the vendor's service. A server of the user's own has models that no catalogue knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from .errors import UsageError
from .problems import Problem
from .request import Request


@runtime_checkable
class Parametrised(Protocol):
    """A provider whose settings are parameters of each request, such as the number of steps.

    `parameters` are JSON-ready and belong to each action key. They lie beneath all others: a model, a spec or an image
    may set the same name, and its value counts.
    """

    parameters: Mapping[str, Any]

    def checked_parameters(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters of a request in one form for equal ones, such as 4.0 for 4. Plans call it: no I/O.

        Raises WrongSettings, with what is wrong by the parameter's name.
        """


@runtime_checkable
class Choosy(Protocol):
    """A provider that can't render every request to a model that it can render with."""

    def wrong_fields(self, request: Request) -> Mapping[str, UsageError]:
        """Return what is wrong with a request, by its field, such as "prompt". Plans call it for each cell: no I/O."""


@runtime_checkable
class ReadsFiles(Protocol):
    """A provider that reads files of the project, such as a workflow. Each reading of the project reads them again."""

    def files(self) -> Sequence[Path]:
        """Return the files that it reads, which may be missing. No I/O."""

    def read_files(self) -> Sequence[Problem]:
        """Read the files, and return what is wrong with them. From now on, plans and renders are about these."""


def serves_any_model(factory: object) -> bool:
    """Return whether a provider's server has models of its own, in any size: the class attribute `serves_any_model`.

    Then only the tables `[models]` of the project limit a model.
    """
    return bool(getattr(factory, "serves_any_model", False))


def default_model(factory: object) -> str:
    """Return the model of images that name none: the class attribute `default_model`; empty: each must name one."""
    return str(getattr(factory, "default_model", ""))


def parametrised(provider: object) -> Parametrised | None:
    """Return the provider if its settings are parameters of each request, else None."""
    return provider if isinstance(provider, Parametrised) else None


def choosy(provider: object) -> Choosy | None:
    """Return the provider if it may refuse single requests before they are sent, else None."""
    return provider if isinstance(provider, Choosy) else None


def reading(provider: object) -> ReadsFiles | None:
    """Return the provider if it reads files of the project, else None."""
    return provider if isinstance(provider, ReadsFiles) else None


def is_repeatable(provider: object) -> bool:
    """Return whether a request that is rendered again gives the same bytes: its attribute of that name, else True.

    If not, images that the lock pins and nobody has are lacking, even if they cost nothing.
    """
    return bool(getattr(provider, "is_repeatable", True))


def settings_of_environment(provider: object) -> Mapping[str, Any]:
    """Return the settings that this machine's environment has in place of the project's: its attribute of that name.

    A worker elsewhere gets them, too: what they replaced may not be approved.
    """
    found: Mapping[str, Any] = getattr(provider, "settings_of_environment", {})
    return found


def is_forced(journal: object) -> bool:
    """Return whether the user wants another image than an earlier one of the request: an attribute of that name."""
    return bool(getattr(journal, "is_forced", False))
