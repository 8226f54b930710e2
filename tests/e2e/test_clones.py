"""A clone is as good as the folder that rendered: whose files are in `out/` after a clone, a switch and a pull."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.emulator.server import Running

from .harness import Sandbox
from .studio import Studio

pytest_plugins = ("tests.support.emulated",)

SPEC = 'size = "1:1"\n[image.ball]\nprompt = "a red ball"\n[image.cube]\nprompt = "a cube"\n'


class Clone(Sandbox):
    """A working copy with real git, and with its own store."""

    def git(self, *arguments: str) -> str:
        """Run git in the project; return its output."""
        own = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *own, *arguments], cwd=self.root, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self) -> None:
        """Commit everything, also the images."""
        self.git("add", "-A")
        self.git("commit", "-qm", "x")

    def clone(self, name: str) -> Clone:
        """Return a clone on another machine."""
        root = self.root.with_name(name)
        self.git("clone", "-q", ".", str(root))
        return Clone(root, root.with_name(f"{name}-store"))

    def image(self, name: str) -> bytes:
        """Return the bytes of an output."""
        return (self.root / "out" / name).read_bytes()


@pytest.fixture
def first(tmp_path: Path) -> Clone:
    """A project whose images are committed."""
    made = Clone(tmp_path / "first", tmp_path / "first-store")
    made.write({"qwenbuild.toml": 'provider = "draft"\n', "specs/s.toml": SPEC, ".gitignore": ".qwenbuild/\n"})
    made.git("init", "-q")
    made.build_here()
    made.commit()
    return made


def test_an_edit_in_a_clone_renders_the_image(first: Clone) -> None:
    """The file is what the lock pins for this path, so it is outdated, and not edited by hand."""
    clone = first.clone("second")
    old = clone.image("s/ball.png")
    clone.edit("specs/s.toml", "red", "blue")
    assert clone.changed() == {"s/ball": "render: prompt changed: -red +blue"}
    assert clone.build_here()["rendered"] == 1
    assert (clone.store / "cas" / sha256(old)[:2] / sha256(old)).read_bytes() == old  # it may have been paid for
    assert "ac" not in {path.name for path in clone.store.iterdir()} or not any(
        sha256(old) in path.read_text() for path in (clone.store / "ac").rglob("*") if path.is_file()
    )


def test_a_pull_and_a_branch_switch_leave_nothing_edited(first: Clone) -> None:
    """A colleague's images are own ones, also in a folder with a state, and after a further edit."""
    second = first.clone("second")
    second.build_nothing()
    first.edit("specs/s.toml", "red", "blue")
    first.build_here()
    first.commit()
    second.git("pull", "-q")
    assert second.changed() == {}
    second.edit("specs/s.toml", "blue", "green")
    assert second.changed() == {"s/ball": "render: prompt changed: -blue +green"}
    second.git("checkout", "-qb", "other")
    second.build_here()
    second.commit()
    second.git("checkout", "-q", "main")
    assert second.changed() == {}
    second.edit("specs/s.toml", "blue", "green")  # the branch's image is in the store
    assert {*second.changed().values()} == {"restore: prompt changed: -blue +green"}
    assert second.build_here()["restored"] == 1


def test_an_image_that_was_renamed_in_a_clone_leaves_an_orphan(first: Clone) -> None:
    """The plan tells, a build keeps telling, and `clean --orphans` removes it and keeps its bytes."""
    clone = first.clone("second")
    old = clone.image("s/ball.png")
    clone.edit("specs/s.toml", "image.ball", "image.globe")
    assert "s/ball.png  no spec declares it" in clone.here("plan").out
    assert clone.here("build").code == 0
    assert "s/ball.png  no spec declares it" in clone.here("plan").out
    assert clone.here("clean", "--orphans").code == 0
    assert sorted(clone.outputs()) == ["s/cube.png", "s/globe.png"]
    assert (clone.store / "cas" / sha256(old)[:2] / sha256(old)).read_bytes() == old


def test_orphans_of_a_clone_can_be_removed_at_once(first: Clone) -> None:
    """Without a build before; an orphan that was edited stays."""
    clone = first.clone("second")
    clone.write({"specs/s.toml": SPEC.partition("[image.cube]")[0]})
    (clone.root / "out/s/mine.png").write_bytes(b"mine")
    assert clone.here("clean", "--orphans").code == 0
    assert sorted(clone.outputs()) == ["s/ball.png", "s/mine.png"]


def test_the_image_of_another_cell_is_kept_and_named(first: Clone) -> None:
    """Somebody chose it by hand."""
    clone = first.clone("second")
    shutil.copyfile(clone.root / "out/s/cube.png", clone.root / "out/s/ball.png")
    assert clone.changed() == {"s/ball": "edited: it holds the image of s/cube"}
    (clone.root / "out/s/ball.png").write_bytes(b"mine")
    assert clone.changed() == {"s/ball": "edited: a file that qwenbuild did not write is in its place"}


def test_a_clone_does_not_fill_the_store_of_other_projects(first: Clone) -> None:
    """A lock and an image of a stranger never become an action result."""
    clone = first.clone("second")
    lock = clone.root / "qwenbuild.lock"
    image = clone.image("s/ball.png") + b"x"
    lock.write_text(lock.read_text().replace(sha256(clone.image("s/ball.png")), sha256(image)))
    (clone.root / "out/s/ball.png").write_bytes(image)
    assert clone.here("build").code == 0
    other = Clone(clone.root.with_name("third"), clone.store)
    shutil.copytree(first.root / "specs", other.root / "specs")
    other.write({"qwenbuild.toml": 'provider = "draft"\n'})
    assert {*other.changed().values()} == {"render: never rendered"}


@pytest.mark.parametrize("has_store", [True, False])
def test_a_git_lfs_pointer_is_named(first: Clone, has_store: bool) -> None:
    """The store's image is put in its place. Without it, the message says what fetches the image."""
    clone = first.clone("second")
    if has_store:
        clone.store = first.store
    for name in ("s/ball.png", "s/cube.png"):
        image = clone.image(name)
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(image)}\nsize {len(image)}\n"
        (clone.root / "out" / name).write_text(text)
    found = {*clone.changed().values()}
    pointer = "a Git LFS pointer is in its place: `git lfs pull` fetches the image"
    assert found == {f"{'restore' if has_store else 'render'}: {pointer}"}
    (clone.root / "out/s/ball.png").write_text(text)  # of the other image
    assert clone.changed()["s/ball"] == f"edited: {pointer}"


def test_renaming_costs_nothing(emulator: Running, tmp_path: Path) -> None:
    """The derived seed stays, also in later plans; the lock has it. Only a changed prompt is paid for."""
    studio = Studio.make(tmp_path, emulator, {"s": '[image.ball]\nprompt = "a ball"\n'})
    assert studio.build_here()["rendered"] == 1
    studio.edit("specs/s.toml", "image.ball", "image.globe")
    assert {*studio.changed().values()} == {"restore: rendered before"}
    assert studio.here("build").code == 0
    assert studio.changed() == {}
    (studio.root / "specs/s.toml").rename(studio.root / "specs/t.toml")
    assert studio.here("build", "--json").finished["restored"] == 1
    assert "derived from an earlier name, by the lock" in studio.here("explain", "t").out
    assert studio.here("build", "--locked").code == 0
    assert studio.here("lock", "--check").code == 0
    assert len(emulator.bill()["records"]) == 1
    studio.edit("specs/t.toml", "a ball", "a bat")
    assert [*studio.changed()] == ["t/globe"]


def test_renaming_in_a_clone_without_the_store_costs_nothing(emulator: Running, tmp_path: Path) -> None:
    """The image is copied from the path that it had, if its bytes are those that the lock pins."""
    first = Studio.make(tmp_path, emulator, {"s": '[image.ball]\nprompt = "a ball"\n[image.bat]\nprompt = "a bat"\n'})
    first.build_here()
    second = Studio(tmp_path / "second", tmp_path / "second-store", dict(first.extra), service=emulator)
    shutil.copytree(first.root, second.root, ignore=shutil.ignore_patterns(".qwenbuild"))
    second.edit("specs/s.toml", "image.ball", "image.globe")
    second.edit("specs/s.toml", "image.bat", "image.club")
    assert second.changed() == {
        "s/globe": "restore: its image is at s/ball.png", "s/club": "restore: its image is at s/bat.png"
    }  # fmt: skip
    (second.root / "out/s/bat.png").write_bytes(b"changed")
    assert second.changed()["s/club"] == "render: never rendered"
    assert second.here("build", "s/globe", "--json").finished["restored"] == 1
    assert second.outputs()["s/globe.png"] == first.outputs()["s/ball.png"]
    assert len(emulator.bill()["records"]) == 2
    second.build_nothing("s/globe")
