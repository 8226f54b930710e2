"""The routes and lanes of a project whose images all have one provider."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from qwenbuild.provider import Provider
from qwenbuild.routes import Routes
from qwenbuild.storage.lanes import Lanes
from qwenbuild.storage.submissions import Submissions


def routes_of(provider: Provider) -> Routes:
    """Return the routes to one provider."""
    return Routes(provider, lambda choice: provider, is_fixed=True)


def family_of(family: str, *, labelled: bool = False) -> Routes:
    """Return the routes to a provider that only has a family: it makes keys, but no images."""
    return routes_of(cast(Any, SimpleNamespace(name="test", family=family, labelled=labelled)))


def lanes_of(provider: Provider, submissions_of: Callable[[Provider], Submissions]) -> Lanes:
    """Return the lanes of one provider."""
    return Lanes(routes_of(provider), submissions_of)
