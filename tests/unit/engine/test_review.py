"""The engine's review: a plan compared with the lock of another revision."""

from __future__ import annotations

import subprocess

import pytest

from qwenbuild import load
from qwenbuild.errors import UsageError
from qwenbuild.storage import lock
from tests.support.workspace import Workspace


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project of one built image in a git repository, which has no lock in its first commit."""
    spec = '[image.a]\nprompt = "red"\nseed = 1\n'
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": spec})
    load(project.root).build()
    git(project, "init", "-q")
    git(project, "add", "specs")
    git(project, "commit", "-qm", "first")
    return project


def git(place: Workspace, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    subprocess.run(
        ["git", "-C", str(place.root), *identity, *arguments],
        check=True, capture_output=True,
    )  # fmt: skip


def test_a_revision_without_a_lock(place: Workspace) -> None:
    """Every declared output counts as added, and a warning says why."""
    plan, changes = load(place.root).review("HEAD")
    assert [warning.claim for warning in plan.warnings] == [
        "HEAD has no qwenbuild.lock: every declared output counts as added"
    ]
    assert [(change.kind, change.name) for change in changes] == [("added", "s/a")]


def test_the_old_request_comes_from_state_or_store(place: Workspace) -> None:
    """The reason of a change needs the old request: the state knows it, else the store."""
    git(place, "add", lock.NAME)
    git(place, "commit", "-qm", "second")
    place.write({"specs/s.toml": '[image.a]\nprompt = "blue"\nseed = 1\n'})
    for _ in range(2):
        plan, (change,) = load(place.root).review("HEAD")
        assert (change.kind, change.reason, plan.warnings) == ("changed", "prompt changed: -red +blue", ())
        (place.root / ".qwenbuild/state.sqlite3").unlink(missing_ok=True)


def test_another_provider(place: Workspace) -> None:
    """The lock says nothing about another provider's images."""
    with pytest.raises(UsageError, match='the lock pins what the provider "null" makes, not "draft"'):
        load(place.root, provider="draft").review("HEAD")
