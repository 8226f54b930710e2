"""The protocols of the preview: the state of a real watch has all that they ask for."""

from __future__ import annotations

from qwenbuild import load
from qwenbuild.pages.live import Live, UnderWay
from qwenbuild.watch import live_state
from tests.support.workspace import Workspace


def missing(protocol: type, implementation: object) -> list[str]:
    """Return the protocol's public members that the implementation lacks."""
    return [name for name in vars(protocol) if not name.startswith("_") and not hasattr(implementation, name)]


def test_a_watch_has_what_the_preview_reads(project: Workspace) -> None:
    """Each property and method exists on the state of a watch."""
    assert missing(Live, live_state.Live(load(project.root))) == []


def test_a_build_under_way_has_what_the_preview_reads() -> None:
    """Each property exists on a build of a watch."""
    assert missing(UnderWay, live_state.UnderWay) == []


def test_a_missing_member_is_noticed() -> None:
    """An object without members lacks all four of a build under way."""
    assert sorted(missing(UnderWay, object())) == ["begun", "left", "since_s", "total"]
