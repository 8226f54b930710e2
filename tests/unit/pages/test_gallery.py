"""The gallery's model: the picture of each cell, its last event, its history, and the axes."""

from __future__ import annotations

import contextlib
import shutil
from typing import Any

import pytest

from qwenbuild.engine.engine import load
from qwenbuild.events import ImageFinished, ImageStarted, Outcome
from qwenbuild.pages.gallery import Activity, Gallery, GalleryMaker
from qwenbuild.problems import Problem
from qwenbuild.storage.outputs import POINTER
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


def gallery_of(
    pets: Workspace, drafts: dict[str, str] | None = None, activities: dict[str, Activity] | None = None
) -> Gallery:
    engine = load(pets.root)
    with contextlib.closing(State.of(engine.project.root, create=False)) as state:
        return GalleryMaker(engine.project, engine.store).gallery(
            engine.plan(), state, engine.routes, drafts, activities
        )


def kinds(gallery: Gallery) -> list[str]:
    return [cell["kind"] for cell in gallery.model["cells"]]


def detail(pets: Workspace, number: int) -> dict[str, Any]:
    engine = load(pets.root)
    step = engine.plan().steps[number]
    with contextlib.closing(State.of(engine.project.root, create=False)) as state:
        return GalleryMaker(engine.project, engine.store).details([step], state, {})[0][step.action.output]


def test_each_verdict_has_its_kind_of_picture(pets: Workspace) -> None:
    """Restorable, edited, outdated and new cells show what they have; a deleted image is still in the store."""
    paths = [cell["path"] for cell in gallery_of(pets).model["cells"]]
    assert kinds(gallery_of(pets)) == ["image"] * 4
    (pets.root / "out" / paths[0]).unlink()
    (pets.root / "out" / paths[1]).write_bytes(b"mine")
    pets.write({"specs/pets.toml": SPEC.replace('"wild"', '"wild", "new"')})
    assert kinds(gallery_of(pets)) == ["image", "edited", "image", "image", "none", "none"]
    pets.write({"specs/pets.toml": SPEC.replace('dog"', 'hound"')})
    assert kinds(gallery_of(pets)) == ["old", "edited", "old", "old"]
    shutil.rmtree(load(pets.root).store.root)
    assert kinds(gallery_of(pets)) == ["none", "edited", "old", "old"]


def test_a_draft_hides_no_image(pets: Workspace) -> None:
    """A cell whose request changed has its last image and the draft; a cell without an image has the draft alone."""
    before = gallery_of(pets).model["cells"]
    pets.write({"specs/pets.toml": SPEC.replace('dog"', 'hound"').replace('"wild"', '"wild", "new"')})
    draft = "0" * 64
    gallery = gallery_of(pets, {cell["path"]: draft for cell in gallery_of(pets).model["cells"]})
    assert [(cell["kind"], cell["image"], cell.get("draft")) for cell in gallery.model["cells"]] == [
        *(("old", cell["image"], draft) for cell in before), *[("draft", draft, None)] * 2,
    ]  # fmt: skip
    assert gallery.files.keys() == {draft, *(cell["image"] for cell in before)}


def test_a_git_lfs_pointer_is_no_picture(pets: Workspace) -> None:
    """The last image on record is shown, and what fetches the present one."""
    before = gallery_of(pets).model["cells"][0]
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 5\n"
    (pets.root / "out" / before["path"]).write_text(pointer)
    cell = gallery_of(pets).model["cells"][0]
    assert (cell["verdict"], cell["kind"], cell["image"], cell["why"]) == ("edited", "old", before["image"], POINTER)


def test_images_of_a_draft_provider_are_drafts(pets: Workspace) -> None:
    """Images that a provider of drafts renders are shown as drafts, whether up to date or restored."""
    pets.write({"qwenbuild.toml": 'provider = "draft"'})
    load(pets.root).build()
    assert kinds(gallery_of(pets)) == ["draft"] * 4
    shutil.rmtree(pets.root / "out")
    assert kinds(gallery_of(pets)) == ["draft"] * 4


def test_only_images_of_cells_are_served(pets: Workspace) -> None:
    """The files of a gallery are exactly the images that its cells name."""
    gallery = gallery_of(pets)
    assert set(gallery.files) == {cell["image"] for cell in gallery.model["cells"]}


def test_axes_keep_their_order(pets: Workspace) -> None:
    """Axes are in the order of the spec, and each cell has the number of its value on each."""
    model = gallery_of(pets).model
    assert [axis["name"] for axis in model["axes"]] == ["image", "mood", "prompt_extend", "seed"]
    assert [cell["at"] for cell in model["cells"]] == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 1]]


def test_what_all_cells_share_is_said_once(pets: Workspace) -> None:
    """The model says what no axis says. A size has a name if the catalogue has one for it."""
    model = gallery_of(pets).model
    assert model["shared"] == {"model": "qwen-image-plus", "size": "1664x928"}
    assert model["ratios"] == {"1664x928": "16:9"}
    pets.write({"specs/pets.toml": SPEC + 'model = "qwen-image-2.0"\nsize = "1000*1024"'})
    model = gallery_of(pets).model
    assert (model["shared"], model["ratios"]) == ({"model": "qwen-image-2.0", "size": "1000x1024"}, {})


def test_a_cell_shows_its_last_event(pets: Workspace) -> None:
    """A cell that is being rendered says so; a failed one has the reason and the code frames."""
    names = [cell["name"] for cell in gallery_of(pets).model["cells"]]
    failed = ImageFinished(
        names[1], "x", Outcome.FAILED, "refused", 1.0, [Problem("refused", hint="ask again", name="moderated")]
    )
    cells = gallery_of(pets, None, {names[0]: ImageStarted(names[0], "x", "render", ""), names[1]: failed}).model[
        "cells"
    ]
    assert cells[0]["activity"] == "running"
    assert (cells[1]["activity"], cells[1]["why"]) == ("failed", "refused")
    assert cells[1]["problems"] == [
        [("error", "error: refused"), ("hint", "  = hint: ask again"),
         ("more", "  = more: qwenbuild explain-error moderated")]
    ]  # fmt: skip


def test_the_history_has_every_earlier_image(pets: Workspace) -> None:
    """The details list the images of a cell with their requests, the newest first."""
    pets.write({"specs/pets.toml": SPEC.replace('dog"', 'hound"')})
    load(pets.root).build()
    load(pets.root).build()
    history = detail(pets, 0)["history"]
    assert [past["request"]["prompt"] for past in history] == ["A calm hound", "A calm dog"]


def test_a_state_without_a_history_has_no_earlier_images(pets: Workspace) -> None:
    """A state file of an older version gives an empty history, and a build adds the missing table."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(pets.root / ".qwenbuild" / "state.sqlite3")) as db:
        db.executescript("DROP TRIGGER remember_output; DROP TABLE history;")
    assert detail(pets, 0)["history"] == []
    load(pets.root, force=True).build()
    assert len(detail(pets, 0)["history"]) == 1
