"""Builds and the lock, at the local DashScope and with its bill."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.emulator.server import Running
from qwenbuild.files.provenance import read_provenance_file
from qwenbuild.storage import lock
from qwenbuild.storage.lock_format import Pin

from .harness import Sandbox
from .studio import Studio, cards

pytest_plugins = ("tests.support.emulated",)


def pins(sandbox: Sandbox) -> dict[str, Pin]:
    return dict(lock.read(sandbox.root / lock.NAME).pins)


def teammate(sandbox: Sandbox, name: str = "teammate", *, store: bool = False, out: bool = False) -> Sandbox:
    """Return a teammate's checkout of specs and lock, with `store` sharing the store, with `out` also the outputs."""
    root = sandbox.root.with_name(name)
    left = [".qwenbuild", *([] if out else ["out"])]
    shutil.copytree(sandbox.root, root, ignore=shutil.ignore_patterns(*left))
    folder = sandbox.store if store else root.with_name(f"{name}-store")
    return Sandbox(root, folder, sandbox.extra)


def test_a_build_locks_what_it_made(sandbox: Sandbox) -> None:
    """Every output is pinned to its bytes, and a build with nothing to do does not change the lock."""
    sandbox.build_here()
    found = pins(sandbox)
    assert sorted(found) == sorted(sandbox.outputs())
    text = (sandbox.root / lock.NAME).read_text("utf-8")
    sandbox.build_nothing()
    assert (sandbox.root / lock.NAME).read_text("utf-8") == text
    assert sandbox.here("verify").out == "all 8 outputs are what the lock pins\n"
    assert sandbox.here("lock", "--check").code == 0


def test_only_what_was_asked_for_changes(sandbox: Sandbox) -> None:
    """A build of some cells keeps the pins of others; pins of cells that are no longer declared go."""
    sandbox.build_here()
    before = pins(sandbox)
    sandbox.edit("templates/base.j2", "poster of", "picture of")
    (sandbox.root / "specs/icons.toml").unlink()
    sandbox.here("build", "-w", "seed=1")
    after = pins(sandbox)
    assert sorted(before.keys() - after.keys()) == ["icons/moon.png", "icons/sun.png"]
    changed = [path for path in after if after[path] != before[path]]
    assert changed == ["garden/poster-1328x1328-1.png", "garden/poster-1664x928-1.png"]


def test_locked_names_each_difference_before_rendering(sandbox: Sandbox) -> None:
    """If the lock would change, `--locked` renders nothing and exits with 3; otherwise it builds."""
    sandbox.build_here()
    assert sandbox.here("build", "--locked").code == 0
    sandbox.edit("specs/icons.toml", "Icon of the sun", "Icon of the star")
    sandbox.edit("specs/garden.toml", "seed = [1, 2]", "seed = [1, 3]")
    refused = sandbox.here("build", "--locked")
    assert refused.code == 3
    assert "error: qwenbuild.lock is out of date: 5 of its records would change" in refused.err
    assert "icons/sun: prompt changed: -sun +star" in refused.err
    assert "garden/poster[seed=3,size=1328x1328]: not in the lock" in refused.err
    assert "garden/poster[seed=2,size=1328x1328]: no longer declared" in refused.err
    assert len(sandbox.outputs()) == 8
    checked = sandbox.here("lock", "--check")
    assert (checked.code, checked.err) == (3, refused.err)


@pytest.mark.parametrize("contrary", ["--force", "--relock"])
def test_locked_contradicts(sandbox: Sandbox, contrary: str) -> None:
    """An option that would change the lock is refused together with `--locked`."""
    ran = sandbox.here("build", "--locked", contrary)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: --locked and {contrary} contradict each other")


def test_another_provider_leaves_the_lock_alone(sandbox: Sandbox) -> None:
    """The lock pins images of the project's own provider; drafts do not change it."""
    sandbox.here("build", "icons")
    before = (sandbox.root / lock.NAME).read_bytes()
    assert sandbox.here("build", "icons", "--provider", "draft").code == 0
    assert (sandbox.root / lock.NAME).read_bytes() == before
    assert sandbox.here("build", "--locked", "--provider", "draft").code == 2


def test_bytes_of_the_lock_are_restored(emulator: Running, tmp_path: Path) -> None:
    """A build restores the pinned bytes even if the store has a newer image of the same request."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.build_inside()
    old = pins(studio)
    first = studio.outputs()
    studio.build_inside(force=True)
    new = pins(studio)
    assert all(old[path].key == new[path].key and old[path].image != new[path].image for path in old)
    lock.write(studio.root / lock.NAME, old.values(), studio.root / ".qwenbuild/tmp")
    plan = studio.here("plan")
    assert plan.out.count("the lock pins other bytes") == 2
    assert studio.build_inside().finished.restored == 2
    assert studio.outputs() == first
    assert emulator.bill()["count"] == 4
    assert pins(studio) == old


def test_what_nobody_has_is_not_paid_for_again(emulator: Running, tmp_path: Path) -> None:
    """Pinned bytes that nobody has are reported with exit code 3; only `--relock` pays for other bytes."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.build_inside()
    mate = teammate(studio)
    for _ in range(2):
        ran = mate.here("build")
        assert ran.code == 3
        assert ran.err.count("the lock pins bytes that are not in the store") == 1
        assert "1 more, for the same reason as cards/card[no=000]: cards/card[no=001]" in ran.err
        assert "2 missing" in ran.err
        assert "--relock" in ran.err
    assert mate.here("build", "--locked").code == 3
    plan = mate.here("plan")
    assert "2 missing" in plan.out
    assert "cost" not in plan.out
    assert emulator.bill()["count"] == 2
    assert pins(mate) == pins(studio)

    assert "0.44 CNY" in mate.here("plan", "--relock").out
    assert mate.build("--relock")["rendered"] == 2
    assert emulator.bill()["count"] == 4
    assert pins(mate) != pins(studio)


def test_outputs_in_the_repository_are_what_the_lock_pins(emulator: Running, tmp_path: Path) -> None:
    """If the images are committed too, a fresh checkout has nothing to do, even without store and state."""
    studio = Studio.make(tmp_path, emulator, cards(3))
    studio.build_inside()
    mate = teammate(studio, out=True)
    assert mate.here("verify").code == 0
    assert mate.here("build", "--locked", "--json").finished["up_to_date"] == 3
    assert emulator.bill()["count"] == 3


def test_what_is_free_is_rendered(sandbox: Sandbox) -> None:
    """Missing images of a free provider are rendered again, with the same bytes."""
    sandbox.build_here()
    mate = teammate(sandbox)
    assert mate.here("build", "--locked", "--json").finished["rendered"] == 8
    assert mate.outputs() == sandbox.outputs()


def test_free_bytes_that_differ(sandbox: Sandbox) -> None:
    """If a free render gives other bytes than the pin, `--locked` refuses them; a plain build pins them."""
    sandbox.build_here()
    path = "icons/sun.png"
    wrong = {**pins(sandbox), path: pins(sandbox)[path]._replace(image="ab" * 32)}
    lock.write(sandbox.root / lock.NAME, wrong.values(), sandbox.root / ".qwenbuild/tmp")
    (sandbox.root / "out" / path).unlink()
    mate = teammate(sandbox)
    ran = mate.here("build", "--locked", "--json")
    assert (ran.code, ran.finished["missing"], ran.finished["rendered"]) == (3, 1, 7)
    assert path not in mate.outputs()
    assert mate.here("build").code == 0
    assert pins(mate)[path].image != "ab" * 32


def test_verify_names_each_mismatch(sandbox: Sandbox) -> None:
    """`verify` names missing and differing outputs and exits with 3; unpinned images are no failure."""
    sandbox.build_here()
    out = sandbox.root / "out"
    (out / "icons/sun.png").unlink()
    (out / "icons/moon.png").write_bytes(b"other")
    (out / "mine.png").write_bytes(b"mine")
    for name in ("specs", "templates", ".qwenbuild"):
        shutil.rmtree(sandbox.root / name)
    ran = sandbox.here("verify")
    assert ran.code == 3
    assert ran.out.splitlines() == [
        "   differs  icons/moon.png",
        "   missing  icons/sun.png",
        "  unlocked  mine.png",
        "2 of 8 outputs are not what the lock pins; `qwenbuild build` brings back what is missing, "
        "`build --overwrite` also what differs",
    ]
    events = sandbox.here("verify", "--json").events
    assert [event["event"] for event in events] == ["mismatch", "mismatch", "stranger", "verified"]


def test_lock_counts_what_it_can_not_pin(sandbox: Sandbox) -> None:
    """A cell that was never built can't be pinned, and `lock` counts it."""
    sandbox.build_here()
    sandbox.write({"specs/new.toml": '[image.one]\nprompt = "one"\n'})
    ran = sandbox.here("lock")
    assert (ran.code, ran.out) == (0, "up to date: qwenbuild.lock\n")
    assert ran.err == "1 output not pinned: no build has made what the specs declare now\n"
    assert sandbox.here("lock", "--check").code == 3


def test_verify_needs_a_lock(sandbox: Sandbox) -> None:
    """Without a lock, `verify` fails."""
    ran = sandbox.here("verify")
    assert (ran.code, ran.err.splitlines()[0]) == (3, "error: no qwenbuild.lock here")


def test_a_conflict_is_resolved_by_building(sandbox: Sandbox) -> None:
    """`verify` and `--locked` refuse a lock with conflicts; `build` and `lock` write it again."""
    sandbox.build_here()
    path = sandbox.root / lock.NAME
    text = path.read_text("utf-8")
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("image"))
    other = f'image = "{"0" * 64}"\n'
    conflict = text.replace(line, f"<<<<<<< HEAD\n{line}=======\n{other}>>>>>>> theirs\n", 1)
    for command in (["build"], ["lock"]):
        path.write_text(conflict, "utf-8")
        for refusing in (["verify"], ["build", "--locked"], ["lock", "--check"]):
            refused = sandbox.here(*refusing)
            assert (refused.code, refused.err.splitlines()[0]) == (
                3, "error: qwenbuild.lock holds conflicts of a merge"
            )  # fmt: skip
        assert sandbox.here(*command).code == 0
        assert path.read_text("utf-8") == text


def test_a_broken_lock_is_reported(sandbox: Sandbox) -> None:
    """A broken lock is an error with its line in every command that reads it, and is not overwritten."""
    sandbox.build_here()
    path = sandbox.root / lock.NAME
    broken = path.read_text("utf-8").replace('path = "icons/sun.png"', 'path = "../sun.png"')
    path.write_text(broken, "utf-8")
    for command in ("build", "plan", "status", "lock", "verify"):
        ran = sandbox.here(command)
        assert ran.code == 2
        assert 'error: not an output path: ".." can\'t be part of a path' in ran.err
        assert "--> qwenbuild.lock:" in ran.err
    assert path.read_text("utf-8") == broken


def test_a_changed_lock_is_seen_by_a_build_that_has_nothing_to_do(sandbox: Sandbox) -> None:
    """A build notices a deleted lock even if nothing else changed since the snapshot."""
    sandbox.build("-w", "seed=*")
    sandbox.run("build")
    sandbox.run("build")
    (sandbox.root / lock.NAME).unlink()
    assert sandbox.run("build").code == 0
    assert len(pins(sandbox)) == 8


def test_gc_keeps_what_locks_pin(emulator: Running, tmp_path: Path) -> None:
    """Images that a project's outputs or lock name are kept, even if another render replaced them; others 90 days."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.build_inside()
    old = pins(studio)
    studio.build_inside(force=True)
    lock.write(studio.root / lock.NAME, old.values(), studio.root / ".qwenbuild/tmp")
    assert studio.here("gc").out.startswith("removed 0 images")
    assert studio.here("gc", "--unreferenced").out.startswith("removed 0 images")
    assert studio.build_inside().finished.restored == 2
    assert studio.here("gc", "--unreferenced").out.startswith("removed 0 images")
    assert studio.here("gc", "--unreferenced", "--older-than", "0s").out.startswith("removed 2 images")
    shutil.rmtree(studio.root / "out")
    assert studio.build_inside().finished.restored == 2


def test_relock_takes_what_the_store_has(emulator: Running, tmp_path: Path) -> None:
    """If the store has other bytes of a pinned request, `--relock` pins those without a render."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    studio.build_inside()
    elsewhere = {
        path: pin._replace(image=digit * 64) for digit, (path, pin) in zip("ab", pins(studio).items(), strict=True)
    }
    lock.write(studio.root / lock.NAME, elsewhere.values(), studio.root / ".qwenbuild/tmp")
    assert studio.here("build").code == 3
    built = studio.build_inside(relock=True).finished
    assert (built.restored, built.rendered, built.exit_code) == (2, 0, 0)
    assert {pin.image for pin in pins(studio).values()}.isdisjoint({"a" * 64, "b" * 64})
    assert studio.build_inside().finished.up_to_date == 2
    assert emulator.bill()["count"] == 2


def test_a_damaged_pinned_image_is_not_paid_for_again(emulator: Running, tmp_path: Path) -> None:
    """If the stored bytes of a pin are damaged, the output is missing and nothing is paid."""
    studio = Studio.make(tmp_path, emulator, cards(1))
    studio.build_inside()
    [pin] = pins(studio).values()
    shutil.rmtree(studio.root / "out")
    blob = studio.store / "cas" / pin.image[:2] / pin.image
    blob.chmod(0o644)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    ran = studio.here("build")
    assert ran.code == 3
    assert "the lock pins it, and its stored bytes were damaged" in ran.err
    assert emulator.bill()["count"] == 1


def test_locked_refuses_edits(sandbox: Sandbox) -> None:
    """`--locked` refuses an edited output; with `--overwrite` the pinned bytes replace it."""
    sandbox.build_here()
    before = sandbox.outputs()
    (sandbox.root / "out/icons/sun.png").write_bytes(b"edited")
    ran = sandbox.here("build", "--locked")
    assert ran.code == 3
    assert "error: edited outputs are not what the lock pins: 1" in ran.err
    assert "icons/sun.png: changed by hand since it was written" in ran.err
    assert sandbox.here("build", "--locked", "icons/moon").code == 0
    assert sandbox.here("build", "--locked", "--overwrite").code == 0
    assert sandbox.outputs() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1\n", "version = 1  # mine\n"),
        ("seed = 1\n", "seed = 2\n"),
        ('model = "qwen-image-plus"\n', 'model = "qwen-image"\n'),
        ("version = 1\n\n", "version = 1\n\n\n"),
    ],
)
def test_a_lock_that_a_build_would_write_otherwise(sandbox: Sandbox, old: str, new: str) -> None:
    """A readable lock in another form than a build writes is out of date."""
    sandbox.build_here()
    path = sandbox.root / lock.NAME
    text = path.read_text("utf-8")
    path.write_text(text.replace(old, new), "utf-8")
    assert path.read_text("utf-8") != text
    ran = sandbox.here("lock", "--check")
    assert (ran.code, ran.err.splitlines()[0]) == (3, "error: qwenbuild.lock is not in qwenbuild's own form")
    assert sandbox.here("lock").code == 0
    assert path.read_text("utf-8") == text


def test_line_ends_are_no_change(sandbox: Sandbox) -> None:
    """A lock with another system's line breaks is up to date, and is not rewritten."""
    sandbox.build_here()
    path = sandbox.root / lock.NAME
    content = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(content)
    for command in (["lock", "--check"], ["build", "--locked"], ["build"], ["verify"]):
        assert sandbox.here(*command).code == 0
    assert path.read_bytes() == content


def test_gc_asks_every_lock(sandbox: Sandbox) -> None:
    """If a lock can't be read, `gc` removes nothing, because the lock may pin paid images."""
    sandbox.build_here()
    path = sandbox.root / lock.NAME
    text = path.read_text("utf-8")
    path.write_text(text.replace("version = 1", "version = 9"), "utf-8")
    ran = sandbox.here("gc", "--unreferenced")
    assert ran.code == 2
    assert f"error: {path} has format version 9" in ran.err
    path.write_text(text, "utf-8")
    assert sandbox.here("gc", "--unreferenced").out.startswith("removed 0 images")


def test_a_build_that_is_killed_before_it_locks(emulator: Running, tmp_path: Path) -> None:
    """The next build pins the outputs that the killed build left, and does not pay for them again."""
    studio = Studio.make(tmp_path, emulator, cards(12))
    studio.kill_when(studio.outputs, "--jobs", "1")
    studio.build_inside(resubmit=True)
    assert studio.here("verify").code == 0
    assert {path: pin.image for path, pin in pins(studio).items()} == {
        path: sha256(image) for path, image in studio.outputs().items()
    }


def request_id(studio: Studio, path: str) -> str:
    """Return the service's number of the request that made an output."""
    provenance = read_provenance_file(studio.root / "out" / path)
    assert provenance is not None
    return str(provenance["request_id"])


def test_a_forced_build_that_is_killed(emulator: Running, tmp_path: Path) -> None:
    """Outputs that the killed build replaced stay replaced, although the old lock pins their old bytes."""
    studio = Studio.make(tmp_path, emulator, cards(12))
    studio.build_inside()
    before = studio.outputs()

    def replaced() -> dict[str, bytes]:
        return {path: image for path, image in studio.outputs().items() if image != before[path]}

    studio.kill_when(replaced, "--force", "--jobs", "1")
    new = {path: request_id(studio, path) for path in replaced()}
    assert studio.build_inside().finished.rendered == 0
    # The image may have been collected again, with other words in its provenance. One more output may be new: its
    # image may have reached the store before the kill.
    assert new == {path: request_id(studio, path) for path in new}
    assert set(new) <= set(replaced())
    assert {path: pin.image for path, pin in pins(studio).items()} == {
        path: sha256(image) for path, image in studio.outputs().items()
    }
