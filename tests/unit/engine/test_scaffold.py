"""The scaffold: the files of a new project are valid, and overwrite nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.engine import scaffold
from qwenbuild.engine.scaffold import Images
from qwenbuild.errors import UsageError
from qwenbuild.specs.spec import schema


def test_a_new_project(tmp_path: Path) -> None:
    """A new project can be planned at once, and its spec names the schema beside it."""
    written = scaffold.write(tmp_path / "posters")
    assert written == list(scaffold.files())
    plan = load(tmp_path / "posters").plan()
    assert (len(plan.steps), len(plan.renders)) == (11, 11)
    assert load(tmp_path / "posters").provider.name == "draft"
    assert scaffold.SPEC.startswith("#:schema ./spec.schema.json\n")
    assert json.loads((tmp_path / "posters/specs/spec.schema.json").read_text("utf-8")) == schema()


@pytest.mark.parametrize("name", ["qwenbuild.toml", "specs/poster.toml", ".gitattributes"])
def test_files_in_the_way(tmp_path: Path, name: str) -> None:
    """Nothing is written if one of the files exists, even as a dangling link."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UsageError, match=f"has these files already: {name}"):
        scaffold.write(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()] == [Path(name).name]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"*.pyc", b"*.pyc\n.qwenbuild/\n"),
        (b"\xff\xfe\n", b"\xff\xfe\n.qwenbuild/\n"),
        (b"a\n.qwenbuild/\nb\n", b"a\n.qwenbuild/\nb\n"),
        (b"a\r\n", b"a\r\n.qwenbuild/\r\n"),
    ],
)
def test_a_gitignore_is_added_to(tmp_path: Path, before: bytes, after: bytes) -> None:
    """An existing `.gitignore` keeps its content in any encoding, and gets the line once."""
    (tmp_path / ".gitignore").write_bytes(before)
    written = scaffold.write(tmp_path)
    assert (tmp_path / ".gitignore").read_bytes() == after
    assert (".gitignore" in written) == (before != after)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    """A folder that can't be created is a UsageError."""
    (tmp_path / "posters").write_bytes(b"")
    with pytest.raises(UsageError, match=r"posters.*can't be written: "):
        scaffold.write(tmp_path / "posters")
    (tmp_path / "specs").write_bytes(b"")
    with pytest.raises(UsageError, match="can't be written: "):
        scaffold.write(tmp_path)


def test_a_project_inside_of_a_project(tmp_path: Path) -> None:
    """A project may be in the folder of another project."""
    scaffold.write(tmp_path)
    scaffold.write(tmp_path / "inner")
    assert load(tmp_path / "inner").project.root == tmp_path / "inner"


@pytest.mark.parametrize(
    ("images", "ignored", "attributes"),
    [
        (Images.GIT, "", "out/**/*.png binary\n"),
        (Images.LFS, "", "out/**/*.png filter=lfs diff=lfs merge=lfs -text\n"),
        (Images.STORE, "/out/\n", ""),
    ],
)
def test_git_is_told_where_images_live(tmp_path: Path, images: Images, ignored: str, attributes: str) -> None:
    """Whoever asks git afterwards gets the answer of `init`."""
    scaffold.write(tmp_path, images)
    assert (tmp_path / ".gitignore").read_text() == f".qwenbuild/\n{ignored}"
    assert (tmp_path / ".gitattributes").read_text() == (
        f"qwenbuild.lock text eol=lf linguist-generated=true\n{attributes}"
    )
    git(tmp_path, "init", "-q")
    assert bool(git(tmp_path, "check-ignore", "out/a/b.png")) == (images is Images.STORE)
    filtered = git(tmp_path, "check-attr", "filter", "out/a/b.png")
    assert filtered.endswith("lfs\n" if images is Images.LFS else "unspecified\n")


@pytest.mark.parametrize("rule", ["out/", "*.png", "/out", "out/*"])
def test_a_rule_that_would_ignore_the_images_is_answered(tmp_path: Path, rule: str) -> None:
    """Many templates for .gitignore have one. The file of a folder above is not changed."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(f"{rule}\n")
    for folder in (tmp_path, tmp_path / "inner"):
        scaffold.write(folder)
        (folder / "out/s").mkdir(parents=True)
        (folder / "out/s/a.png").write_bytes(b"")
        assert git(tmp_path, "status", "--porcelain", "-uall", "--", str(folder / "out")).endswith("out/s/a.png\n")
    assert (tmp_path / ".gitignore").read_text().startswith(f"{rule}\n.qwenbuild/\n")


@pytest.mark.parametrize("rule", ["*.lock", "/*\n!/src", "*"])
def test_a_rule_that_would_ignore_other_files_of_a_project_is_answered(tmp_path: Path, rule: str) -> None:
    """A clone without the lock, or without the attributes for Git LFS, is no good."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(f"{rule}\n")
    scaffold.write(tmp_path, Images.LFS)
    for name in ("qwenbuild.lock", "out/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    seen = git(tmp_path, "status", "--porcelain", "-uall").split()[1::2]
    assert {*seen} == {*scaffold.files(Images.LFS), "qwenbuild.lock", "out/a.png"}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; return its output."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        ("", "specs/poster.toml"),
        ('specs = "images/**/*.toml"\ntemplates = "prompts"\n', "images/poster.toml"),
        ('specs = "art.toml"\n', "art.toml"),
        ('specs = "*/*.spec"\n', "poster/poster.spec"),
    ],
)
def test_a_project_without_specs_gets_a_first_one(tmp_path: Path, config: str, spec: str) -> None:
    """It is where the config looks for specs, and can be planned at once; the config stays as it is."""
    (tmp_path / "qwenbuild.toml").write_text(config + 'provider = "draft"\n')
    bare = scaffold.without_specs(tmp_path, around=False)
    assert bare
    written = [path.relative_to(tmp_path).as_posix() for path in scaffold.write_first_spec(bare)]
    assert written[0] == spec
    assert len(load(tmp_path).plan().steps) == 11
    assert (tmp_path / "qwenbuild.toml").read_text() == config + 'provider = "draft"\n'
    assert scaffold.without_specs(tmp_path, around=False) is None


def test_which_project_has_no_specs(tmp_path: Path) -> None:
    """That of the folder, or of one above if that is asked for; no folder without a project has one."""
    assert scaffold.without_specs(tmp_path, around=True) is None
    assert scaffold.without_specs(tmp_path / "nosuch", around=True) is None
    (tmp_path / "inner").mkdir()
    (tmp_path / "qwenbuild.toml").write_text("")
    assert scaffold.without_specs(tmp_path / "inner", around=False) is None
    found = scaffold.without_specs(tmp_path / "inner", around=True)
    assert found and found.root == tmp_path


def test_a_first_spec_overwrites_nothing(tmp_path: Path) -> None:
    """A template of the same name stays; a glob without a certain path is told."""
    (tmp_path / "qwenbuild.toml").write_text("")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/poster.j2").write_text("mine")
    bare = scaffold.without_specs(tmp_path, around=False)
    assert bare
    with pytest.raises(UsageError, match=r"these files exist already: .*poster\.j2"):
        scaffold.write_first_spec(bare)
    (tmp_path / "qwenbuild.toml").write_text('specs = "specs/?.toml"\n')
    bare = scaffold.without_specs(tmp_path, around=False)
    assert bare
    with pytest.raises(UsageError, match=r"the config wants a path that matches specs/\?\.toml"):
        scaffold.write_first_spec(bare)
    assert not (tmp_path / "specs").exists()
