"""Two profiles of one project: what each build does to the outputs and the lock of the other."""

from __future__ import annotations

import pytest

from qwenbuild import load
from qwenbuild.errors import LockError
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.plan.plan import Verdict
from qwenbuild.storage import lock
from tests.support.workspace import Workspace

CONFIG = """\
provider = "null"
[profiles.same.budget]
max_cost = 5
[profiles.square.defaults]
size = "1:1"
[profiles.web.defaults]
output = "web/{{ image }}.png"
"""
SPEC = '[image.a]\nprompt = "a {{ who }}"\nvars.who = "cat"\n[image.b]\nprompt = "b"\n'


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project with profiles, built without one."""
    project.write({"qwenbuild.toml": CONFIG, "specs/s.toml": SPEC})
    load(project.root).build()
    return project


def pins(place: Workspace) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (path, profile, variables) of each pin."""
    return [(pin.path, pin.profile, pin.vars) for pin in lock.read(place.root / lock.NAME).pins.values()]


def verdicts(place: Workspace, profile: str | None) -> list[Verdict | str]:
    """Return the verdict of each step of a plan, and the path of each orphan."""
    plan = load(place.root, profile=profile).plan()
    return [*(step.verdict for step in plan.steps), *(orphan.path for orphan in plan.orphans)]


def test_a_lock_without_profile_and_variables_stays_as_it_was(place: Workspace) -> None:
    """It has version 1, and is the same as that of a project that declares no profile."""
    before = (place.root / lock.NAME).read_bytes()
    assert b"version = 1\n" in before
    (place.root / lock.NAME).unlink()
    place.write({"qwenbuild.toml": 'provider = "null"\n'})
    load(place.root).build()
    assert (place.root / lock.NAME).read_bytes() == before


def test_profiles_that_write_the_same_paths_replace_each_other(place: Workspace) -> None:
    """One after another; nothing is edited or an orphan, and what was rendered once is restored."""
    assert verdicts(place, "square") == [Verdict.RENDER, Verdict.RENDER]
    assert load(place.root, profile="square").build().rendered == 2
    assert pins(place) == [("s/a.png", "square", ()), ("s/b.png", "square", ())]
    assert verdicts(place, None) == [Verdict.RESTORE, Verdict.RESTORE]
    assert load(place.root).build().restored == 2
    assert pins(place) == [("s/a.png", "", ()), ("s/b.png", "", ())]


def test_profiles_with_paths_of_their_own_keep_each_others_outputs(place: Workspace) -> None:
    """Neither calls the other's outputs orphans or drops their pins, in a clone without a state, too."""
    load(place.root, profile="web").build()
    everything = [("s/a.png", "", ()), ("s/b.png", "", ()), ("web/a.png", "web", ()), ("web/b.png", "web", ())]
    assert pins(place) == everything
    for profile in (None, "web"):
        assert verdicts(place, profile) == [Verdict.UP_TO_DATE] * 2
        assert load(place.root, profile=profile).build().up_to_date == 2
        assert load(place.root, profile=profile).clean(orphans_only=True) == []
        assert load(place.root, profile=profile, locked=True).build().up_to_date == 2
    assert pins(place) == everything
    (place.root / ".qwenbuild" / "state.sqlite3").unlink()
    assert verdicts(place, None) == [Verdict.UP_TO_DATE] * 2
    assert verdicts(place, "square")[2:] == []
    assert load(place.root, provider="draft").plan().orphans == []


def test_outputs_of_a_profile_become_orphans_by_its_own_build(place: Workspace) -> None:
    """If an image is gone from the specs, each profile drops its own outputs of it; a removed profile has no say."""
    load(place.root, profile="web").build()
    place.write({"specs/s.toml": SPEC.partition("[image.b]")[0]})
    assert verdicts(place, None) == [Verdict.UP_TO_DATE, "s/b.png"]
    assert verdicts(place, "web") == [Verdict.UP_TO_DATE, "web/b.png"]
    place.write({"qwenbuild.toml": 'provider = "null"\n'})
    assert verdicts(place, None) == [Verdict.UP_TO_DATE, "s/b.png", "web/a.png", "web/b.png"]


@pytest.mark.parametrize(("built", "asked"), [(None, "same"), ("same", None), ("same", "square")])
def test_a_locked_build_with_another_profile_is_refused(place: Workspace, built: str | None, asked: str | None) -> None:
    """Also if all keys are equal."""
    load(place.root, profile=built).build()
    for act in (load(place.root, profile=asked, locked=True).build, load(place.root, profile=asked).check_lock):
        with pytest.raises(LockError) as caught:
            act()
        names = [f'the profile "{name}"' if name else "no profile" for name in (built, asked)]
        assert caught.value.claim == f"qwenbuild.lock pins what {names[0]} made, not {names[1]}"
        assert caught.value.hint == (f"--profile {built}" if built else "leave out --profile")
    assert load(place.root, profile=built, locked=True).build().up_to_date == 2


def test_a_build_of_some_cells_leaves_a_lock_of_two_profiles(place: Workspace) -> None:
    """A locked build then names the cells that the other profile made."""
    load(place.root, profile="square", select=["s/a"]).build()
    assert pins(place) == [("s/a.png", "square", ()), ("s/b.png", "", ())]
    with pytest.raises(LockError) as caught:
        load(place.root, locked=True).build()
    assert list(caught.value.facts) == ["s/a: size 1328*1328 -> 1664*928"]


def test_variables_are_recorded_where_they_count(place: Workspace) -> None:
    """The lock and the image have those that the output depends on; the next build without them drops them."""
    load(place.root, profile="same", variables=["who=dog"]).build()
    assert pins(place) == [("s/a.png", "same", ("who=dog",)), ("s/b.png", "same", ())]
    made = read_provenance_file(place.root / "out/s/a.png") or {}
    assert (made["profile"], made["vars"], made["request"]["prompt"]) == ("same", ["who=dog"], "a dog")
    assert {"profile", "vars"}.isdisjoint(read_provenance_file(place.root / "out/s/b.png") or {})
    load(place.root).build()
    assert pins(place) == [("s/a.png", "", ()), ("s/b.png", "", ())]


def test_a_locked_build_refuses_a_variable_that_changes_a_key(place: Workspace) -> None:
    """The message names it; a variable that changes no key changes nothing."""
    with pytest.raises(LockError) as caught:
        load(place.root, locked=True, variables=["who=dog"]).build()
    assert list(caught.value.facts) == [
        "s/a: prompt changed: -cat +dog; --var who=dog, where the lock has no value of --var"
    ]
    assert load(place.root, locked=True, variables=["who=cat"]).build().up_to_date == 2
    load(place.root, variables=["who=cat"]).check_lock()
    load(place.root, variables=["who=dog"]).build()
    before = (place.root / lock.NAME).read_bytes()
    with pytest.raises(LockError) as caught:
        load(place.root).check_lock()
    assert list(caught.value.facts) == ["s/a: prompt changed: -dog +cat; no --var who, where the lock has who=dog"]
    place.write({"specs/s.toml": SPEC.replace("cat", "dog")})
    assert load(place.root, locked=True).build().up_to_date == 2
    assert (place.root / lock.NAME).read_bytes() == before


def test_an_older_lock_reader_stops(place: Workspace) -> None:
    """The version says that there is something that older versions do not know."""
    load(place.root, profile="same").build()
    assert "version = 3\n" in (place.root / lock.NAME).read_text()
