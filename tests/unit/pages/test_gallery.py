"""The gallery's model: what each cell shows in each standing, its history, and its axes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from qwenbuild.engine.engine import load
from qwenbuild.events import ImageFinished, ImageStarted, Outcome
from qwenbuild.pages.gallery import Activity, Curator, Gallery
from qwenbuild.problems import Problem
from qwenbuild.storage.state import State
from tests.support.workspace import Workspace

SPEC = """
[image.dog]
prompt = "A {{ mood }} dog"
matrix = { mood = ["calm", "wild"], seed = [1, 2], prompt_extend = true }
"""


@pytest.fixture
def pets(project: Workspace) -> Workspace:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})
    load(project.root).build()
    return project


def hang(
    pets: Workspace, drafts: dict[str, str] | None = None, activities: dict[str, Activity] | None = None
) -> Gallery:
    engine = load(pets.root)
    with contextlib.closing(State.of(engine.project.root, create=False)) as state:
        return Curator(engine.project, engine.store).gallery(engine.plan(), state, drafts, activities)


def kinds(gallery: Gallery) -> list[str]:
    return [cell["kind"] for cell in gallery.model["cells"]]


def detail(pets: Workspace, number: int) -> dict[str, Any]:
    engine = load(pets.root)
    step = engine.plan().steps[number]
    with contextlib.closing(State.of(engine.project.root, create=False)) as state:
        return Curator(engine.project, engine.store).details([step], state, {})[0][step.action.output]


def test_what_a_cell_shows_in_each_standing(pets: Workspace) -> None:
    paths = [cell["path"] for cell in hang(pets).model["cells"]]
    assert kinds(hang(pets)) == ["image"] * 4
    (pets.root / "out" / paths[0]).unlink()
    (pets.root / "out" / paths[1]).write_bytes(b"mine")
    pets.write({"specs/pets.toml": SPEC.replace('"wild"', '"wild", "new"')})
    assert kinds(hang(pets)) == ["image", "edited", "image", "image", "none", "none"]
    pets.write({"specs/pets.toml": SPEC.replace('dog"', 'hound"')})
    assert kinds(hang(pets)) == ["none", "edited", "old", "old"]
    assert kinds(hang(pets, {paths[2]: "0" * 64})) == ["none", "edited", "draft", "old"]


def test_only_what_cells_show_is_served(pets: Workspace) -> None:
    gallery = hang(pets)
    assert set(gallery.files) == {cell["image"] for cell in gallery.model["cells"]}


def test_axes_keep_their_order_and_know_each_cells_place(pets: Workspace) -> None:
    model = hang(pets).model
    assert [axis["name"] for axis in model["axes"]] == ["image", "mood", "prompt_extend", "seed"]
    assert [cell["at"] for cell in model["cells"]] == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 1]]
    assert model["literals"] == {"pets/dog": {"seed": {"1": "1", "2": "2"}, "prompt_extend": {"true": "true"}}}


def test_a_cell_tells_of_its_render(pets: Workspace) -> None:
    names = [cell["name"] for cell in hang(pets).model["cells"]]
    failed = ImageFinished(names[1], "x", Outcome.FAILED, "refused", 1.0, [Problem("refused", hint="ask again")])
    cells = hang(pets, None, {names[0]: ImageStarted(names[0], "x", "render", ""), names[1]: failed}).model["cells"]
    assert cells[0]["activity"] == "running"
    assert (cells[1]["activity"], cells[1]["why"]) == ("failed", "refused")
    assert cells[1]["problems"] == [[("error", "error: refused"), ("hint", "  = hint: ask again")]]


def test_history_has_every_image_that_stood_there(pets: Workspace) -> None:
    pets.write({"specs/pets.toml": SPEC.replace('dog"', 'hound"')})
    load(pets.root).build()
    load(pets.root).build()
    history = detail(pets, 0)["history"]
    assert [past["request"]["prompt"] for past in history] == ["A calm hound", "A calm dog"]


def test_a_state_of_before_histories_has_none(pets: Workspace) -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(pets.root / ".qwenbuild" / "state.sqlite3")) as db:
        db.executescript("DROP TRIGGER remember_output; DROP TABLE history;")
    assert detail(pets, 0)["history"] == []
    load(pets.root, force=True).build()
    assert len(detail(pets, 0)["history"]) == 1
