"""A clone is as good as the folder that rendered: whose files are in `out/` after a clone, a switch and a pull."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from qwenbuild.digest import sha256
from qwenbuild.emulator.server import Running
from qwenbuild.storage.outputs import POINTER
from tests.support.caches import Cache

from .harness import Sandbox
from .studio import KEY, QUICK, Studio

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

    def clone(self, name: str, source: str = ".") -> Clone:
        """Return a clone of `source` on another machine."""
        root = self.root.with_name(name)
        self.git("clone", "-q", source, str(root))
        return Clone(root, root.with_name(f"{name}-store"), dict(self.extra))

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
    clone.edit("specs/s.toml", "image.cube", "image.box")
    assert "s/cube.png  a Git LFS pointer; no spec declares it" in clone.here("plan").out


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


def test_prompts_that_change_places_in_a_clone_cost_nothing(emulator: Running, tmp_path: Path) -> None:
    """An image is copied, also if the build has replaced its file already. What was there once stays known."""
    specs = {"s": 'seed = 7\n[image.a]\nprompt = "ape"\n[image.b]\nprompt = "bee"\n'}
    first = Studio.make(tmp_path, emulator, specs)
    first.build_here()
    second = Studio(tmp_path / "second", tmp_path / "second-store", dict(first.extra), service=emulator)
    shutil.copytree(first.root, second.root, ignore=shutil.ignore_patterns(".qwenbuild"))
    other = Studio.make(tmp_path / "other", emulator, {"s": 'seed = 7\n[image.a]\nprompt = "cow"\n'})
    other.store = second.store
    other.build_here()
    assert len(emulator.bill()["records"]) == 3
    second.write({"specs/s.toml": specs["s"].replace("ape", "cow").replace("bee", "ape")})
    assert [it.partition(":")[0] for it in second.changed().values()] == ["restore"] * 2
    assert second.build_here()["restored"] == 2
    assert second.outputs()["s/b.png"] == first.outputs()["s/a.png"]
    second.edit("specs/s.toml", "image.a", "image.c")
    second.edit("specs/s.toml", "cow", "bee")
    assert second.build_here()["restored"] == 1
    assert second.outputs()["s/c.png"] == first.outputs()["s/b.png"]
    assert len(emulator.bill()["records"]) == 3


# --- images that were paid for, with real git, Git LFS and a remote cache ---

LFS = pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed: no clone can have its pointers")
ASK = (
    "ask whoever has them for `qwenbuild cache push` or a commit, "
    "or render new ones, at their price: `qwenbuild build --relock`"
)


def paid(folder: Path, service: Running, images: str) -> Clone:
    """Return a project, as `init --images` writes it, with two images that the service has rendered."""
    made = Clone(folder / "first", folder / "first-store", service.environment(KEY))
    made.root.mkdir()
    assert made.here("init", "--images", images).code == 0
    settings = "\n".join(f"{key} = {value}" for key, value in QUICK.items())
    (made.root / "specs/poster.toml").unlink()
    made.write({"qwenbuild.toml": f"[providers.dashscope]\n{settings}\n", "specs/s.toml": SPEC})
    made.git("init", "-q")
    return made


def advice(clone: Clone) -> dict[str, str]:
    """Return what build, plan, verify and doctor say about the images that are not here. No one of them pays."""
    said = {name: clone.here(name) for name in ("build", "plan", "verify", "doctor")}
    assert (said["build"].code, said["plan"].code, said["verify"].code) == (3, 0, 3)
    return {name: ran.out + ran.err for name, ran in said.items()}


@LFS
def test_clones_with_git_lfs(emulator: Running, tmp_path: Path) -> None:
    """The advice fetches the images. An edit, a switch and a pull then cost what the same folder would pay."""
    first = paid(tmp_path, emulator, "lfs")
    first.git("lfs", "install", "--local")
    first.build_here()
    first.commit()
    first.git("init", "-q", "--bare", str(tmp_path / "hub"))
    first.git("remote", "add", "origin", (tmp_path / "hub").as_uri())
    first.git("push", "-q", "origin", "main")
    assert first.git("cat-file", "-p", "HEAD:out/s/ball.png").startswith("version https://git-lfs")

    first.extra |= {"GIT_LFS_SKIP_SMUDGE": "1", "GIT_CONFIG_NOSYSTEM": "1"}  # a machine without `git lfs install`
    second = first.clone("second", (tmp_path / "hub").as_uri())
    assert {*second.changed().values()} == {f"missing: {POINTER}"}
    pull = "`git lfs install` (once), then `git lfs pull`, fetches 2 images from Git LFS"
    assert {name: (pull in text, ASK in text) for name, text in advice(second).items()} == dict.fromkeys(
        ("build", "plan", "verify", "doctor"), (True, True)
    )
    assert "git would commit whole images" in second.here("doctor").out
    assert "only a Git LFS pointer" in second.here("show", "out/s/ball.png").err
    assert "git lfs pull" in second.here("explain", "s/ball").out
    assert second.here("report").code == 0

    del second.extra["GIT_LFS_SKIP_SMUDGE"]
    second.git("lfs", "install")
    second.git("lfs", "pull")
    assert second.here("verify").code == 0
    second.build_nothing()
    assert len(emulator.bill()["records"]) == 2

    second.git("checkout", "-qb", "blue")
    second.edit("specs/s.toml", "red", "blue")
    assert second.changed() == {"s/ball": "render: prompt changed: -red +blue"}
    assert second.build_here()["rendered"] == 1
    second.commit()
    second.git("push", "-q", "origin", "blue")
    second.git("checkout", "-q", "main")
    assert second.changed() == {}
    second.git("checkout", "-q", "blue")
    second.build_nothing()

    del first.extra["GIT_LFS_SKIP_SMUDGE"], first.extra["GIT_CONFIG_NOSYSTEM"]
    first.git("pull", "-q", "origin", "blue")
    assert first.changed() == {}
    assert first.image("s/ball.png") == second.image("s/ball.png")
    first.edit("specs/s.toml", "blue", "red")  # its own store has the image
    assert {*first.changed().values()} == {"restore: prompt changed: -blue +red"}
    assert first.build_here()["restored"] == 1
    first.git("checkout", "-q", "specs")
    assert first.build_here()["restored"] == 1
    assert first.git("status", "--porcelain", "out") == ""
    assert len(emulator.bill()["records"]) == 3


@LFS
def test_an_image_of_the_store_takes_the_place_of_its_pointer(emulator: Running, tmp_path: Path) -> None:
    """To git it is the same content: there is nothing to commit."""
    first = paid(tmp_path, emulator, "lfs")
    first.git("lfs", "install", "--local")
    first.build_here()
    first.commit()
    first.extra["GIT_LFS_SKIP_SMUDGE"] = "1"
    second = first.clone("second")
    second.store = first.store
    assert second.build_here()["restored"] == 2
    second.git("add", "-A")
    assert second.git("status", "--porcelain") == ""


def test_images_that_git_ignores_are_shared_by_a_remote_cache(emulator: Running, tmp_path: Path) -> None:
    """Until then, the machine that rendered says that they are there alone; a clone says what to do, and it works."""
    first = paid(tmp_path, emulator, "store")
    alone = "2 images that cost money are on this machine alone"
    ran = first.here("build")
    assert (ran.code, alone in ran.err) == (0, True)
    assert alone not in first.here("doctor").out  # by now it is known that an emulator made them
    first.run("build")
    assert alone not in first.run("build").err  # a build with nothing to do asks git nothing
    first.commit()
    second = first.clone("second")
    for name, text in advice(second).items():
        assert ("a remote cache may have them" in text, ASK in text, alone in text) == (True, True, False), name
    with Cache().running() as cache:
        assert second.here("build", "--remote", cache.url).err.count("the remote cache does not have them either") == 1
        assert first.here("cache", "push", "--remote", cache.url).code == 0
        assert second.here("build", "--remote", cache.url, "--json").finished["restored"] == 2
    assert second.outputs() == first.outputs()
    third = first.clone("third")
    assert third.here("build", "--relock", "--json").finished["rendered"] == 2
    assert len(emulator.bill()["records"]) == 4
