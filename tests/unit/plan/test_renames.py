"""Renames: an image that got another name keeps its derived seed."""

from __future__ import annotations

import pytest

from qwenbuild.plan.renames import with_kept_seeds
from qwenbuild.request import derived_seed
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from tests.support.workspace import Workspace

OLD = derived_seed("s/old")


def spec(extra: str = "", prompt: str = "a ball") -> str:
    return f'[image.new]\nprompt = "{prompt}"\n{extra}'


def kept(project: Workspace, *, path: str = "s/old.png", seed: int = OLD, text: str = "") -> int:
    """Return the seed of the cell `s/new`. The lock pins the prompt "a ball" with `seed` at `path`."""
    project.write({"specs/s.toml": spec()})
    [action] = project.actions()
    key = action.request._replace(seed=seed).key
    project.write({"specs/s.toml": text or spec()})
    [action] = with_kept_seeds(project.actions(), Lock({path: Pin(path, "s/x", key, "0" * 64, "m", seed)}))
    assert action.key == action.request.key
    assert action.seed == action.request.seed
    return action.seed


def test_the_seed_of_an_orphan_with_the_same_request_is_kept(project: Workspace) -> None:
    """Before the build that renames it, and afterwards, when its own path has the seed."""
    assert kept(project) == OLD
    assert kept(project, path="s/new.png") == OLD


@pytest.mark.parametrize("text", [spec(prompt="a bat"), spec("seed = 7"), spec("matrix = { seed = [7] }")])
def test_another_request_and_a_stated_seed_keep_their_own(project: Workspace, text: str) -> None:
    """Only what would be the very same image is taken over."""
    own = 7 if "7" in text else derived_seed("s/new")
    assert kept(project, text=text) == own
    if "matrix" not in text:  # the axis has another path
        assert kept(project, text=text, path="s/new.png") == own


def test_without_a_record_nothing_changes(project: Workspace) -> None:
    """An empty lock, and a lock that agrees."""
    assert kept(project, seed=derived_seed("s/new")) == derived_seed("s/new")
    actions = project.write({"specs/s.toml": spec()}).actions()
    assert with_kept_seeds(actions, Lock()) is actions
