"""Pushing to a remote cache, pulling from it, and counting a project's images there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenbuild import Engine, Options
from qwenbuild.engine import remote_sync
from qwenbuild.engine.remote_sync import Moved
from qwenbuild.errors import UsageError
from qwenbuild.specs.project import find
from tests.support.caches import Cache
from tests.support.workspace import Workspace

FILES = {
    "qwenbuild.toml": 'provider = "null"\n',
    "specs/s.toml": '[image.a]\nprompt = "{{ n }}"\nmatrix = { n = [1, 2, 3] }\n',
}


@pytest.fixture
def cache() -> Iterator[Cache]:
    """A remote cache in memory."""
    with Cache().running() as running:
        yield running


def engine(folder: Path, machine: str, remote: str) -> Engine:
    """Return the engine of a project on a machine that has its own store; `remote` is a URL, empty for none."""
    root = folder / machine
    Workspace(root).write(FILES)
    environ = {"QWENBUILD_CACHE_DIR": str(folder / f"{machine}-store"), "HOME": str(folder)}
    return Engine(find(root), Options(remote=remote), environ)


def test_images_are_pushed_once(tmp_path: Path, cache: Cache) -> None:
    """A push copies what the remote lacks, and reports progress for each image."""
    engine(tmp_path, "one", "").build()
    one, steps = engine(tmp_path, "one", cache.url), list[tuple[int, int]]()
    assert remote_sync.push(one, lambda done, total: steps.append((done, total))) == Moved(3, 0, 0)
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert remote_sync.push(one, lambda done, total: None) == Moved(0, 3, 0)
    assert (len(cache.names("ac")), remote_sync.status(one).there) == (3, 3)


def test_images_are_pulled_into_an_empty_store(tmp_path: Path, cache: Cache) -> None:
    """A pull copies the images that a build would render; a second pull finds them in the store."""
    engine(tmp_path, "one", cache.url).build()
    two = engine(tmp_path, "two", cache.url)
    assert remote_sync.pull(two, lambda done, total: None) == Moved(3, 0, 0)
    assert remote_sync.pull(two, lambda done, total: None) == Moved(0, 3, 0)
    assert engine(tmp_path, "two", "").build().restored == 3


def test_an_image_that_breaks_on_its_way_fails(tmp_path: Path, cache: Cache) -> None:
    """A damaged image of the remote is not stored, and counts as failed."""
    engine(tmp_path, "one", cache.url).build()
    name = next(path for path in cache.files if path.startswith("cas/") and cache.files[path].startswith(b"\x89PNG"))
    cache.files[name] = cache.files[name][:-1] + b"?"
    moved = remote_sync.pull(engine(tmp_path, "two", cache.url), lambda done, total: None)
    assert (moved.moved, moved.failed) == (2, 1)


def test_the_status_counts_distinct_images(tmp_path: Path, cache: Cache) -> None:
    """The status names the remote, and says how many of the project's images it has."""
    status = remote_sync.status(engine(tmp_path, "one", cache.url))
    assert (status.name, status.writes, status.there, status.images) == (cache.url, True, 0, 3)


def test_without_a_remote(tmp_path: Path) -> None:
    """Each command needs a remote cache."""
    alone = engine(tmp_path, "one", "")
    for command in (
        lambda: remote_sync.push(alone, lambda done, total: None),
        lambda: remote_sync.pull(alone, lambda done, total: None),
        lambda: remote_sync.status(alone),
    ):
        with pytest.raises(UsageError, match="there is no remote cache"):
            command()
