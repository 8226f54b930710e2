"""Installing: pip, uv, pre-commit and the steps of the Docker image install a whole qwenbuild, without a network.

Packages that an installer would download are those of this environment.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support.workspace import Workspace

from .pages import REPOSITORY
from .programs import link_packages, said, serving
from .test_repository import HEALTH, arguments

BIN = Path(sys.executable).parent
ADDRESS = f"git+file://{REPOSITORY}"
ISOLATED = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
needs_uv = pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
needs_git = pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="this is no clone")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of an installer without a network, in a home of its own."""
    (tmp_path / "home").mkdir()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.split(r"[^\w-]", it)[0] for it in project["dependencies"]]
    nothing = tmp_path / "nothing.txt"  # uv has no option that leaves out the dependencies
    nothing.write_text("".join(f"{name}; python_version < '3'\n" for name in names))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))},
        "PYTHONPATH": str(link_packages(tmp_path / "packages")), "HOME": str(tmp_path / "home"),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1", "PIP_NO_COMPILE": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0",
        "UV_OFFLINE": "1", "UV_NO_BUILD_ISOLATION": "1", "UV_OVERRIDE": str(nothing),
        "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
    }  # fmt: skip


def builds(qwenbuild: Path, folder: Path, environ: dict[str, str], provider: str = "null") -> bool:
    """Return whether an installed qwenbuild makes a project and builds its images."""
    said(qwenbuild, "init", "posters", cwd=folder, env=environ)
    said(qwenbuild, "build", "--provider", provider, "-w", "seed=1", cwd=folder / "posters", env=environ)
    return len(list((folder / "posters/out").rglob("*.png"))) == 4


def test_the_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    """Each file of the package is in it, and nothing else is."""
    said(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=REPOSITORY)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        commands = file.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    own = {name for name in names if ".dist-info/" not in name}
    folder = REPOSITORY / "qwenbuild"
    there = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert own == {path.relative_to(REPOSITORY).as_posix() for path in there}
    assert own >= {f"qwenbuild/{it}" for it in ("py.typed", "catalogue.toml", "error_entries.toml", "help.txt")}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "qwenbuild = qwenbuild.__main__:main" in commands


@needs_git
@pytest.mark.slow
@pytest.mark.parametrize("installer", ["pip", pytest.param("uv", marks=needs_uv)])
def test_installing_from_the_address_of_the_repository(tmp_path: Path, environ: dict[str, str], installer: str) -> None:
    """Each installer makes a command that builds."""
    if installer == "pip":
        said(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
        python = tmp_path / "venv/bin/python"
        said(sys.executable, "-m", "pip", "--python", python, "install", ADDRESS, env=environ)
        command = tmp_path / "venv/bin/qwenbuild"
    else:
        said("uv", "tool", "install", ADDRESS, env=environ)
        command = tmp_path / "bin/qwenbuild"
    assert str(BIN) not in str(command.resolve())
    assert builds(command, tmp_path, environ)


@needs_git
@pytest.mark.slow
def test_pre_commit_installs_the_hooks(tmp_path: Path, environ: dict[str, str]) -> None:
    """The real pre-commit installs each hook that this repository offers, and runs it in another one."""
    place = Workspace(tmp_path / "project").write({
        "qwenbuild.toml": 'provider = "null"\n',
        "specs/a.toml": '[vars]\nunused = "x"\n[image.x]\nprompt = "a"\n',
    })  # fmt: skip
    environ |= {"PRE_COMMIT_HOME": str(tmp_path / "hooks"), "GIT_CONFIG_GLOBAL": os.devnull}
    said("git", "init", "-q", cwd=place.root, env=environ)
    said("git", "add", ".", cwd=place.root, env=environ)
    offered = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert [it["id"] for it in offered] == ["qwenbuild-lock", "qwenbuild-lint"]
    words = (BIN / "pre-commit", "try-repo", REPOSITORY, "--ref", "HEAD", "--all-files", "--verbose")
    printed = said(*words, code=1, cwd=place.root, env=environ)
    assert "lock-outdated" in printed
    assert "unused-variable" in printed


# --- the steps of the Docker image ---


@pytest.fixture
def image(tmp_path: Path, environ: dict[str, str]) -> Path:
    """The folder /opt/qwenbuild of the image, made by the steps of the Dockerfile from what it copies."""
    source, opt = tmp_path / "source", tmp_path / "qwenbuild"
    for copied in arguments("COPY"):
        if "--from" not in copied and "health.py" not in copied:
            for path in copied.split()[:-1]:
                target = source / path
                target.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (REPOSITORY / path).is_dir() else shutil.copy
                copy(REPOSITORY / path, target)
    steps = arguments("RUN")[0].replace("/opt/qwenbuild", str(opt))
    said("sh", "-euc", steps, cwd=source, env={**environ, "EXTRAS": ""})
    shutil.copy(HEALTH, opt)
    return opt


def can_isolate() -> bool:
    """Return whether this user may make a namespace of processes."""
    words = [*ISOLATED, "true"]
    return (
        shutil.which("unshare") is not None and not subprocess.run(words, capture_output=True, check=False).returncode
    )


@pytest.mark.slow
@pytest.mark.skipif(not can_isolate(), reason="processes can't be isolated here")
def test_the_image(tmp_path: Path, image: Path, environ: dict[str, str]) -> None:
    """As the first process of a container qwenbuild builds, passes the health check, and stops when it is asked to."""
    store = tmp_path / "store"
    environ |= {"PATH": f"{image}/bin:{environ['PATH']}", "QWENBUILD_CACHE_DIR": str(store)}
    assert builds(image / "bin/qwenbuild", tmp_path, environ, "draft")
    assert (store / "ac").is_dir()
    with serving(*ISOLATED, "qwenbuild", "emulator", "--port", "0", ready="Ctrl-C", env=environ) as outer:
        first = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().strip()
        inside = ("nsenter", "--user", "--preserve-credentials", "--pid", "--mount", "--target", first)
        assert said(*inside, image / "bin/python", image / "health.py", env=environ) == ""
        os.kill(int(first), signal.SIGINT)
        assert outer.wait(timeout=30) == 130
