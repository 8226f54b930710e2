"""Custody: images that cost money, on one machine alone or on none."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.engine import custody
from qwenbuild.provider import Settings
from qwenbuild.providers import registry
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.store import Store
from tests.support.workspace import Workspace

MODEL = "qwen-image"
PINS = [Pin(f"s/{name}.png", f"s/{name}", name * 64, name * 64, MODEL, 1) for name in "ab"]
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 5\n"


def claims(
    project: Workspace, name: str = "dashscope", pins: Sequence[Pin] = PINS, environ: Mapping[str, str] | None = None
) -> list[str]:
    """Return what the doctor says about the images of these pins."""
    provider = registry.create(name, Settings({}, builtin(), environ or {}))
    found = custody.examined(project.project, provider, Store(project.root / "store"), pins)
    return [finding.claim for finding in found]


@pytest.fixture
def repository(project: Workspace) -> Workspace:
    """A project in git, with the images of both pins."""
    subprocess.run(["git", "init", "-q", str(project.root)], check=True)
    return project.write({"out/s/a.png": "x", "out/s/b.png": "x", "qwenbuild.toml": ""})


def test_images_that_git_ignores_are_on_this_machine_alone(repository: Workspace) -> None:
    """Not those that are committed in spite of the rule, nor free ones, nor with a remote cache."""
    here = "2 of 2 that the lock pins are here"
    assert claims(repository) == [here]
    repository.write({".gitignore": "/out/\n"})
    assert claims(repository) == ["2 images that cost money are on this machine alone"]
    assert claims(repository, "draft") == [here]
    subprocess.run(["git", "-C", str(repository.root), "add", "-f", "out/s/a.png"], check=True)
    assert claims(repository) == ["1 image that costs money is on this machine alone"]
    repository.write({"qwenbuild.toml": '[remote]\nurl = "https://cache.example"\n'})
    assert claims(repository) == [here]


def test_images_that_are_not_here_are_counted(repository: Workspace) -> None:
    """A pointer of Git LFS is none. What is free is made again."""
    repository.write({"out/s/a.png": POINTER})
    (repository.root / "out/s/b.png").unlink()
    assert claims(repository) == ["the lock pins 2 images that nobody here has"]
    assert claims(repository, "draft") == ["1 image is not here, but only a Git LFS pointer"]
    assert claims(repository, pins=PINS[1:]) == ["the lock pins 1 image that nobody here has"]


def test_an_emulators_images_have_cost_nothing(repository: Workspace) -> None:
    """They may be on this machine alone. Where another service is asked, a build does not look for them."""
    address = "http://127.0.0.1:8766"
    there = {"DASHSCOPE_BASE_URL": f"{address}/api/v1"}
    emulated = [pin._replace(emulated_by=address) for pin in PINS]
    repository.write({".gitignore": "/out/\n"})
    assert claims(repository, pins=emulated, environ=there) == ["2 of 2 that the lock pins are here"]
    (repository.root / "out/s/a.png").unlink()
    missing = ["the lock pins 1 image that nobody here has"]
    assert claims(repository, pins=emulated, environ=there) == missing
    assert claims(repository, pins=emulated) == []
    assert claims(repository, pins=[emulated[0], PINS[1]]) == ["1 image that costs money is on this machine alone"]


def test_git_is_not_needed(project: Workspace) -> None:
    """Outside of a repository nobody shares images by git."""
    project.write({"out/s/a.png": "x", "out/s/b.png": "x"})
    assert claims(project) == ["2 of 2 that the lock pins are here"]
    assert custody.asked(project.root, "rev-parse") is None
