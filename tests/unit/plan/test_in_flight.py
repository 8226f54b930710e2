"""Tests of what is in flight: submissions that no action asks for."""

from __future__ import annotations

import contextlib

from qwenbuild import load
from qwenbuild.plan.in_flight import strays
from qwenbuild.provider import Provider
from qwenbuild.providers.null import NullProvider
from qwenbuild.storage.state import State
from qwenbuild.storage.submissions import Submissions
from tests.support.routes import lanes_of
from tests.support.workspace import Workspace


class Collecting(NullProvider):
    async def collect(self, submission: object, journal: object) -> None:
        raise NotImplementedError


def test_a_stray(project: Workspace) -> None:
    """A submission that no action asks for is a stray if the provider can collect it."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": '[image.a]\nprompt = "a"\n'})
    engine = load(project.root)
    [action] = engine.actions()
    with contextlib.closing(State.of(project.root, create=True)) as state:
        state.begin_run()
        state.accepted(state.intend(action.key, action.request.as_dict(), "null", {}, forced=False), "task:1")

        def found(provider: Provider) -> list[str]:
            lanes = lanes_of(provider, lambda it: Submissions(state, None, it, project.root))
            return [it.key for it in strays(engine.actions(), engine.store, lanes)]

        service = Collecting.__new__(Collecting)
        service.__dict__.update(engine.provider.__dict__)
        assert (found(engine.provider), found(service)) == ([], [])
        project.write({"specs/s.toml": '[image.b]\nprompt = "b"\n'})
        assert (found(engine.provider), found(service)) == ([], [action.key])
