"""The review: how a plan differs from the lock of another revision."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.errors import UsageError
from qwenbuild.plan.review import base, change_dict, changes
from qwenbuild.storage import lock
from qwenbuild.storage.lock import Lock
from tests.support.workspace import Workspace

SPEC = '[image.{name}]\nprompt = "{prompt}"\nseed = 1\n'


def write(place: Workspace, **prompts: str) -> None:
    """Declare an image for each prompt."""
    specs = "".join(SPEC.format(name=name, prompt=prompt) for name, prompt in prompts.items())
    place.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": specs})


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_changes(project: Workspace) -> None:
    """Outputs are added, changed or dropped; the reason says what changed in a known request."""
    write(project, kept="k", edited="red", gone="g")
    load(project.root).build()
    before = lock.read(project.root / lock.NAME)
    requests = {action.key: action.request.as_dict() for action in load(project.root).actions()}
    write(project, kept="k", edited="blue", fresh="f")
    found = changes(load(project.root).plan(), before, requests.get)
    assert [(change.kind, change.name, change.reason) for change in found] == [
        ("changed", "s/edited", "prompt changed: -red +blue"),
        ("added", "s/fresh", "added"),
        ("dropped", "s/gone", "dropped"),
    ]
    unknown = changes(load(project.root).plan(), before, lambda key: None)
    assert unknown[0].reason == "its request changed"
    assert change_dict(found[2]) == {
        "event": "change", "kind": "dropped", "name": "s/gone", "path": "s/gone.png", "reason": "dropped",
    }  # fmt: skip
    assert change_dict(found[1])["verdict"] == "render"
    part = changes(load(project.root, select=["s/kept"]).plan(), before, requests.get)
    assert part == []


def test_other_bytes_of_the_same_request(project: Workspace) -> None:
    """An output whose pin has other bytes under the same key is repinned."""
    write(project, one="1")
    load(project.root).build()
    now = lock.read(project.root / lock.NAME)
    before = Lock({path: pin._replace(image="0" * 64) for path, pin in now.pins.items()})
    (change,) = changes(load(project.root).plan(), before, lambda key: None)
    assert (change.kind, change.reason) == ("repinned", "the lock pins other bytes")


def test_the_lock_of_a_revision(project: Workspace) -> None:
    """The lock of a git revision is read; None if that revision has none."""
    write(project, one="1")
    git(project.root, "init", "-q")
    git(project.root, "add", "specs")
    git(project.root, "commit", "-qm", "first")
    assert base(project.root, "HEAD") is None
    load(project.root).build()
    git(project.root, "add", lock.NAME)
    git(project.root, "commit", "-qm", "second")
    found = base(project.root, "HEAD")
    assert found is not None
    assert found.pins == lock.read(project.root / lock.NAME).pins
    with pytest.raises(UsageError) as caught:
        base(project.root, "nosuch\x1b")
    assert caught.value.claim == 'no revision "nosuch\\x1b"'


def test_no_repository(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a git repository, or without git, the revision can't be read: this is an error."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    with pytest.raises(UsageError, match="is in no git repository"):
        base(project.root, "HEAD")
    monkeypatch.setenv("PATH", str(project.root))
    with pytest.raises(UsageError, match="git is not installed"):
        base(project.root, "HEAD")
