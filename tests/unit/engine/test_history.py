"""The engine's history: past builds and past images."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.engine.history import builds, images, request_of
from qwenbuild.errors import UsageError
from qwenbuild.storage.state import state_path
from tests.support.workspace import Workspace


def build(place: Workspace, **prompts: str) -> None:
    """Build a project with an image for each prompt."""
    specs = "".join(f'[image.{name}]\nprompt = "{prompt}"\nseed = 1\n' for name, prompt in prompts.items())
    place.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": specs})
    load(place.root).build()


def change(place: Workspace, statement: str) -> None:
    """Change the state by hand."""
    with contextlib.closing(sqlite3.connect(state_path(place.root))) as db, db:
        db.execute(statement)


def test_builds_are_listed(project: Workspace) -> None:
    """The newest first; those that had nothing to do are not on record, but those that only drop outputs are."""
    assert builds(load(project.write({"qwenbuild.toml": 'provider = "null"\n'}).root), None) == []
    build(project, a="red", b="green")
    build(project, a="red", b="green")
    build(project, a="red")
    build(project, a="red", b="green")
    found = builds(load(project.root), None)
    assert [(it.number, it.dropped, it.returned) for it in found] == [
        (3, (), ("s/b.png",)), (2, ("s/b.png",), ()), (1, (), ())
    ]  # fmt: skip
    assert found[0].summary is not None
    assert (found[0].summary["up_to_date"], found[0].exit_code, found[0].summary["cost"]) == (2, 0, {})
    assert [it.number for it in builds(load(project.root), 1)] == [3]


def test_the_images_of_an_output(project: Workspace) -> None:
    """Each has its build, and says how its request differs from that of the image before."""
    build(project, a="red", b="green")
    build(project, a="blue", b="green")
    found = images(load(project.root, select=["s/a"]), None)
    assert [(it.name, it.build, it.change, it.is_kept) for it in found] == [
        ("s/a", 2, "prompt changed: -red +blue", True), ("s/a", 1, "the first image", True)
    ]  # fmt: skip
    assert len(images(load(project.root, where=["seed=1"]), None)) == 3
    assert len(images(load(project.root, select=["s"]), 2)) == 2
    load(project.root).pick(["s/b"])
    assert [it.name for it in images(load(project.root, picked=True), None)] == ["s/b"]
    load(project.root).store.blob_path(found[1].written.image).unlink()
    assert [it.is_kept for it in images(load(project.root, select=["s/a"]), None)] == [True, False]
    change(project, "DELETE FROM runs")
    assert images(load(project.root, select=["s/a"]), 1)[0].build is None


def test_an_output_that_no_spec_declares_any_more(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is selected by its path, from the project's folder or from the current one."""
    build(project, a="red", b="green")
    build(project, a="red")
    for name in ("out/s/b.png", str(project.root / "out/s/b.png")):
        assert [it.name for it in images(load(project.root, select=[name]), None)] == ["s/b"]
    both = images(load(project.root, select=["out/s/b.png", "s/a"]), None)
    assert {it.name for it in both} == {"s/a", "s/b"}
    with pytest.raises(UsageError, match="nothing is named"):
        images(load(project.root, select=["out/s/c.png"]), None)


def test_changes_that_are_not_known(project: Workspace) -> None:
    """If the state lost a request, the provenance in the store has it. If that is gone, too, it is not known."""
    build(project, a="red")
    build(project, a="blue")
    load(project.root, force=True).build()
    change(project, "UPDATE history SET image = replace(image, 'a', 'b') WHERE id = 2")
    load(project.root, force=True).build()
    engine = load(project.root, select=["s/a"])
    assert [it.change for it in images(engine, 2)] == [
        "another image of the same request", "prompt changed: -red +blue"
    ]  # fmt: skip
    change(project, "DELETE FROM requests")
    assert images(engine, None)[1].change == "prompt changed: -red +blue"
    with engine.state() as state:
        key = images(engine, 1)[0].written.key
        assert [*request_of(engine, state, {key, "0" * 64}).values()].count(None) == 1
    for path in Path(engine.store.root / "ac").rglob("*/*"):
        path.unlink()
    assert images(engine, None)[1].change == "its request changed"
