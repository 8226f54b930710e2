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
        "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0",
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
