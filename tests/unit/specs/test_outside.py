"""What of a project lies outside of it: links that lead out, folders of other users, devices."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.errors import ProjectError, Untrusted
from qwenbuild.specs import outside
from qwenbuild.specs.project import find
from tests.support.workspace import Workspace


def refused(project: Workspace) -> str:
    """Return the message that refuses the project."""
    with pytest.raises(Untrusted) as caught:
        project.project.spec_paths()
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "templates", "specs", "specs/a.toml", "out", "qwenbuild.lock",
        ".qwenbuild", ".qwenbuild/state.sqlite3", ".qwenbuild/report/images",
    ],
)  # fmt: skip
def test_a_link_out_of_the_project_needs_approval(project: Workspace, tmp_path: Path, name: str) -> None:
    """Such a link could make a prompt of the user's files, or overwrite them."""
    target = tmp_path / "home"
    target.mkdir()
    (target / "a.toml").touch()
    link = project.root / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    assert f"{name} leads out of the project, to {target}" in refused(project)


def test_links_inside_the_project_need_none(project: Workspace) -> None:
    """Also if the project itself was reached by a link."""
    (project.root / "a").mkdir()
    (project.root / "templates").symlink_to("a")
    Workspace(project.root / "a").write({"s.toml": ""})
    (project.root / "specs").symlink_to(project.root / "a")
    entrance = project.root.with_name("entrance")
    entrance.symlink_to(project.root)
    assert len(find(entrance).spec_paths()) == 1


def test_a_missing_folder_and_a_dangling_link(project: Workspace) -> None:
    """What is not there can lead out, too: a build would create it there."""
    assert project.project.out.name == "out"
    (project.root / "out").symlink_to("../elsewhere")
    assert "out leads out of the project" in refused(project)


@pytest.mark.parametrize("make", [os.mkfifo, partial(os.symlink, "/dev/zero")])
def test_a_special_file_in_the_state_folder_is_refused(project: Workspace, make: Callable[[str], None]) -> None:
    """A FIFO waits for ever, and /dev/zero never ends. No approval helps."""
    (project.root / ".qwenbuild").mkdir()
    make(str(project.root / ".qwenbuild" / "snapshot"))
    with pytest.raises(ProjectError, match="neither a file nor a folder") as caught:
        find(project.root, {"QWENBUILD_TRUST_PROJECT": "1"})
    assert "rm .qwenbuild/snapshot" in str(caught.value)


@pytest.mark.parametrize("out", [".git", ".git/hooks", "a/.GIT/x"])
def test_no_output_goes_into_gits_own_folder(project: Workspace, out: str) -> None:
    """Git would run what lies there."""
    project.write({"qwenbuild.toml": f'out = "{out}"\n'})
    with pytest.raises(ProjectError, match="lies in git's own folder"):
        find(project.root, {"QWENBUILD_TRUST_PROJECT": "1"})


def test_no_template_comes_from_gits_own_folder(project: Workspace) -> None:
    """`.git/config` may hold a password, and a template would put it into a prompt."""
    project.write({"qwenbuild.toml": 'provider = "null"\ntemplates = ".git"\n', ".git/config": "canary"})
    with pytest.raises(ProjectError, match="lies in git's own folder"):
        find(project.root, {"QWENBUILD_TRUST_PROJECT": "1"})
    (project.root / "link").symlink_to(".git/config")
    for name in (".git/config", "link"):
        project.write({
            "qwenbuild.toml": 'provider = "null"\ntemplates = "."\n',
            "specs/a.toml": f"[image.a]\nprompt = '{{% include \"{name}\" %}}'\n",
        })  # fmt: skip
        with pytest.raises(ProjectError, match="lies in git's own folder"):
            load(project.root).actions()


def test_no_output_goes_into_gits_own_folder_by_a_link(project: Workspace) -> None:
    """The real path counts."""
    (project.root / ".git").mkdir()
    (project.root / "out").symlink_to(".git")
    with pytest.raises(ProjectError, match="lies in git's own folder"):
        find(project.root)


@pytest.mark.parametrize(
    ("owner", "own", "environ", "expected"),
    [
        (1000, 1000, {}, False), (1001, 1000, {}, True), (0, 1000, {}, False), (1000, 0, {}, True),
        (1000, 0, {"SUDO_UID": "1000"}, False), (1000, 0, {"SUDO_UID": "x"}, True), (7, 1000, {"SUDO_UID": "7"}, True),
    ],
)  # fmt: skip
def test_who_is_another_user(owner: int, own: int, environ: dict[str, str], expected: bool) -> None:
    """Root may do everything anyway. After `sudo`, the user who called it is no stranger."""
    assert outside.is_another(owner, own, environ) is expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_project_above_of_another_user_needs_approval(project: Workspace) -> None:
    """Anybody may write a config into /tmp. In the folder itself the user has gone there on purpose."""
    deep, config = project.root / "deep", project.root / "qwenbuild.toml"
    deep.mkdir()
    assert find(deep).root == project.root
    os.chown(config, 12345, -1)
    with pytest.raises(Untrusted, match="belongs to user 12345"):
        find(deep)
    assert find(project.root).root == project.root
    assert find(deep, {"QWENBUILD_TRUST_PROJECT": "1"}).root == project.root
