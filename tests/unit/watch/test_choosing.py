"""Stars and kept cells as the page of a watch asks for them."""

from __future__ import annotations

import pytest

from qwenbuild.engine.engine import Engine, load
from qwenbuild.errors import UsageError
from qwenbuild.storage.picks import Pick
from qwenbuild.watch import choosing
from tests.support.workspace import Workspace

SPEC = '[image.ball]\nprompt = "a ball"\nmatrix.seed = [1, 2, 3]\n[image.kite]\nprompt = "a kite"\n'
ONE, TWO = "a/ball[seed=1]", "a/ball[seed=2]"


@pytest.fixture
def engine(project: Workspace) -> Engine:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/a.toml": SPEC})
    load(project.root, where=["seed=1"]).build()
    return load(project.root)


def star(engine: Engine, *names: str) -> None:
    plan = engine.plan()
    choosing.star(engine, [step for step in plan.steps if step.action.name in names], plan)


def test_a_star_has_the_image_that_was_shown(engine: Engine) -> None:
    """A cell without an image is starred without a digest. A second star keeps the note, and takes the new image."""
    star(engine, ONE, TWO)
    image = engine.plan().records["a/ball-1.png"].image
    assert [*engine.picks()] == [Pick(ONE, image), Pick(TWO)]
    engine.pick([TWO], note="light", rank=2)
    engine.build()
    star(engine, TWO)
    assert engine.picks().by_cell[TWO] == Pick(TWO, engine.plan().records["a/ball-2.png"].image, 2, "light")


def test_a_note_changes_nothing_else(engine: Engine) -> None:
    """The digest of the star stays, also if the image has changed since. A cell that lost its star gets no note."""
    star(engine, ONE)
    before = engine.picks().by_cell[ONE]
    load(engine.project.root, force=True).build()
    choosing.annotate(engine, [ONE], "light")
    assert engine.picks().by_cell[ONE] == before._replace(note="light")
    with pytest.raises(UsageError, match="this cell is not starred any more"):
        choosing.annotate(engine, [ONE, TWO], "")
    assert engine.picks().by_cell[ONE].note == "light"


def test_a_star_is_taken_away(engine: Engine) -> None:
    """Other stars stay; a cell without a star is no error."""
    star(engine, ONE, TWO)
    assert [*choosing.unstar(engine, [ONE, "a/kite"])] == [Pick(TWO)]


def test_the_watch_may_have_selected_other_cells(engine: Engine) -> None:
    """Keeping is about the named cells of the whole project, whatever the watch shows."""
    shown = choosing.keep(engine.with_options(select=["a/kite"], where=["seed=3"]), [TWO], "")
    assert shown["diff"].splitlines()[2:] == [
        "@@ -1,5 +1,9 @@", " [image.ball]", ' prompt = "a ball"', " matrix.seed = [1, 2, 3]", "+",
        "+[[image.ball.only]]", "+seed = 2", "+", " [image.kite]", ' prompt = "a kite"',
    ]  # fmt: skip
    assert shown["said"] == [
        "2 cells are left out. Images of 1 stay in out/ and in the store. Without the `only` tables they are back, "
        "and nothing is rendered again.",
        "Unchanged, because no cell of theirs is chosen: a/kite",
    ]


def test_what_was_not_shown_is_not_written(engine: Engine) -> None:
    """The digest of the shown diff must be that of the present one; then exactly these cells are declared."""
    with pytest.raises(UsageError, match="nothing was written"):
        choosing.keep(engine, [TWO], "0" * 64)
    assert len(engine.plan().steps) == 4
    shown = choosing.keep(engine, [TWO], "")
    choosing.keep(engine, [TWO], shown["shown"])
    assert [step.action.name for step in engine.plan().steps] == [TWO, "a/kite"]
    again = choosing.keep(engine, [TWO], "")
    assert (again["diff"], again["said"]) == ("", ["Unchanged, because no cell of theirs is chosen: a/kite"])
