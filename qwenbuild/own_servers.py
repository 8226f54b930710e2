"""Own servers: what a provider may say about a server of the user's own: its models, parameters and limits.

It belongs to the provider contract (`provider`): every part is optional, and is asked of these functions. The vendor's
catalogue describes the vendor's service. A server of the user's own has models that no catalogue knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from .errors import UsageError
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
