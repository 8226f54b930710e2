"""The engine's work on the lock: writing it, checking it, and refusing contradictory options."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.errors import LockError, UsageError
from qwenbuild.storage import lock
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "a"\nseed = 1\n'


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project of one image, which was built and locked."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})
    load(project.root).build()
    return project


def test_writing_the_lock_without_rendering(place: Workspace) -> None:
    """A lost lock is written again from the records; it leaves out what nobody has rendered."""
    path = place.root / lock.NAME
    before = path.read_bytes()
    assert load(place.root).write_lock() == (False, 0)
    path.unlink()
    assert load(place.root).write_lock() == (True, 0)
    assert path.read_bytes() == before
    place.write({"specs/s.toml": SPEC + '[image.b]\nprompt = "b"\n'})
    assert load(place.root).write_lock() == (False, 1)


def test_checking_the_lock(place: Workspace) -> None:
    """A lock that a build would change is an error."""
    load(place.root).check_lock()
    place.write({"specs/s.toml": SPEC.replace("seed = 1", "seed = 2")})
    with pytest.raises(LockError) as caught:
        load(place.root).check_lock()
    assert caught.value.facts == ("s/a: seed 1 -> 2",)


@pytest.mark.parametrize("name", ["force", "relock"])
def test_options_that_contradict_locked(place: Workspace, name: str) -> None:
    """A locked build can't replace pinned images."""
    choices = {name: True}
    with pytest.raises(UsageError, match=f"--locked and --{name} contradict each other"):
        load(place.root, None, locked=True, **choices).build()


def test_the_lock_of_another_provider(place: Workspace) -> None:
    """A locked build with another provider than the config's is refused; an unlocked one leaves the lock alone."""
    before = (place.root / lock.NAME).read_bytes()
    with pytest.raises(UsageError) as caught:
        load(place.root, provider="draft", locked=True).build()
    assert caught.value.claim == 'the lock pins what the provider "null" makes, not "draft"'
    assert load(place.root, provider="draft").build().rendered == 1
    assert (place.root / lock.NAME).read_bytes() == before


def test_a_locked_build_of_edited_outputs(place: Workspace) -> None:
    """A locked build is refused if an output was edited."""
    place.write({"out/s/a.png": "mine"})
    with pytest.raises(LockError, match="edited outputs are not what the lock pins: 1"):
        load(place.root, locked=True).build()


def test_a_forced_build_forgets_the_old_pins_first(place: Workspace) -> None:
    """The old pin is removed before a forced render begins: else a killed build would bring the old image back."""
    pinned: list[int] = []
    load(place.root, force=True).build(lambda event: pinned.append(len(lock.read(place.root / lock.NAME).pins)))
    assert (pinned[0], len(lock.read(place.root / lock.NAME).pins)) == (0, 1)
