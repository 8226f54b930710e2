"""Keeping: `Engine.keep` edits specs all together or not at all, and never loses a text."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.errors import UsageError
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "a {{ word }}"\n[image.a.matrix]\nseed = [1, 2]\nword = ["x", "y"]\n'
OTHER = '[image.b]\nprompt = "b"\nmatrix = { seed = [1, 2] }\n'


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """Two specs, of which all cells are rendered."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC, "specs/t.toml": OTHER})
    load(project.root).build()
    return project


def texts(place: Workspace) -> list[str]:
    """Return the texts of both specs."""
    return [(place.root / "specs" / name).read_bytes().decode() for name in ("s.toml", "t.toml")]


def refusal(place: Workspace, *cells: str) -> str:
    """Return the text of the error when these cells are kept; nothing has changed."""
    before = texts(place)
    with pytest.raises(UsageError) as refused:
        load(place.root).keep(cells).write()
    assert texts(place) == before
    return str(refused.value)


def test_only_the_chosen_cells_are_declared(place: Workspace) -> None:
    """Their images are up to date, those of others become orphans, and images without a chosen cell stay."""
    engine = load(place.root)
    keeping = engine.keep(["s/a[seed=1,word=y]"])
    assert texts(place) == [SPEC, OTHER]
    assert (keeping.kept, len(keeping.dropped), keeping.orphans, keeping.outside) == (["s/a[seed=1,word=y]"], 3, 3, 0)
    assert (keeping.alone, keeping.entries) == (["t/b"], {"s/a": [{"seed": 1, "word": "y"}]})
    assert keeping.diff == (
        "--- specs/s.toml\n+++ specs/s.toml\n@@ -3,3 +3,7 @@\n [image.a.matrix]\n seed = [1, 2]\n"
        ' word = ["x", "y"]\n+\n+[[image.a.only]]\n+seed = 1\n+word = "y"\n'
    )
    keeping.write()
    assert texts(place) == [f'{SPEC}\n[[image.a.only]]\nseed = 1\nword = "y"\n', OTHER]
    plan = engine.plan()
    assert ([step.action.name for step in plan.steps], plan.counts["up_to_date"], plan.counts["orphans"]) == (
        ["s/a[seed=1,word=y]", "t/b[seed=1]", "t/b[seed=2]"], 3, 3,
    )  # fmt: skip


def test_an_earlier_choice_is_replaced(place: Workspace) -> None:
    """What is chosen now are cells that are declared now."""
    load(place.root).keep(["s/a[seed=1]"]).write()
    load(place.root).keep(["s/a[word=y]"]).write()
    assert texts(place)[0] == f'{SPEC}\n[[image.a.only]]\nseed = 1\nword = "y"\n'


def test_all_cells_of_an_image_need_no_table(place: Workspace) -> None:
    """Nothing is written, and an earlier `only` stays."""
    keeping = load(place.root).keep(["s/a"])
    assert (keeping.changes, keeping.diff, keeping.alone) == ([], "", ["t/b"])
    keeping.write()
    assert texts(place) == [SPEC, OTHER]


def test_several_images_and_specs(place: Workspace) -> None:
    """Each one gets its tables."""
    load(place.root).keep(["s/a[word=x]", "t/b[seed=2]"]).write()
    assert texts(place) == [f'{SPEC}\n[[image.a.only]]\nword = "x"\n', f"{OTHER}\n[[image.b.only]]\nseed = 2\n"]


def test_cells_must_be_named(place: Workspace) -> None:
    """`keep` of everything keeps nothing in particular."""
    assert refusal(place) == (
        "error: `keep` needs to know which cells\n"
        "  = hint: `qwenbuild keep CELL…` keeps these cells, `qwenbuild keep --picked` the starred ones"
    )


def test_a_byte_order_mark_a_mode_and_a_link_stay(place: Workspace) -> None:
    """The file behind a link within the project is written."""
    spec, real = place.root / "specs/s.toml", place.root / "real.toml"
    real.write_bytes(b"\xef\xbb\xbf" + SPEC.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    spec.unlink()
    spec.symlink_to("../real.toml")
    load(place.root).keep(["s/a[word=x]"]).write()
    assert (spec.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o640)
    wanted = f'{SPEC}\n[[image.a.only]]\nword = "x"\n'.replace("\n", "\r\n")
    assert real.read_bytes() == b"\xef\xbb\xbf" + wanted.encode()


def test_a_spec_that_cant_be_changed(place: Workspace) -> None:
    """The message says what to write by hand, and no other spec is changed."""
    place.write({"specs/s.toml": 'image = { a = { prompt = "a", matrix = { seed = [1, 2] } } }\n'})
    assert refusal(place, "s/a[seed=1]", "t/b[seed=2]") == (
        "error: specs/s.toml can't be changed safely: no [[image.a.only]] table can follow what declares a\n"
        "  = s/a: only = [{ seed = 1 }]\n  = t/b: only = [{ seed = 2 }]\n"
        "  = hint: nothing was changed; write this by hand into the table of the image"
    )


def test_a_read_only_spec(place: Workspace) -> None:
    """Somebody meant it to stay as it is."""
    (place.root / "specs/s.toml").chmod(0o444)
    assert refusal(place, "s/a[seed=1]").startswith("error: specs/s.toml can't be changed safely: it is read-only\n")


def test_a_link_out_of_the_project(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be read if the user trusts the project, but it is not written."""
    monkeypatch.setenv("QWENBUILD_TRUST_PROJECT", "1")
    outside = place.root.parent / "outside.toml"
    outside.write_text(SPEC)
    (place.root / "specs/s.toml").unlink()
    (place.root / "specs/s.toml").symlink_to(outside)
    assert refusal(place, "s/a[seed=1]").startswith(
        f"error: specs/s.toml can't be changed safely: it is a link to {outside}, which lies outside the project\n"
    )


def test_a_spec_that_was_changed_meanwhile(place: Workspace) -> None:
    """The text that was shown is the text that is written, or none is."""
    keeping = load(place.root).keep(["s/a[seed=1]", "t/b[seed=1]"])
    place.write({"specs/t.toml": OTHER.replace('"b"', '"c"')})
    with pytest.raises(UsageError) as refused:
        keeping.write()
    assert str(refused.value) == (
        "error: specs/t.toml was changed meanwhile\n  = hint: nothing was changed; run `qwenbuild keep` again"
    )
    assert texts(place)[0] == SPEC


def test_a_result_that_is_not_what_was_chosen(place: Workspace) -> None:
    """A template that reads another file changed meanwhile: the specs get their old texts back."""
    keeping = load(place.root).keep(["s/a[seed=1]", "t/b[seed=1]"])
    place.write({"specs/u.toml": '[image.c]\nprompt = "c"\n'})
    with pytest.raises(UsageError) as refused:
        keeping.write()
    assert str(refused.value) == (
        "error: specs/s.toml, specs/t.toml can't be changed safely: the project would not declare exactly the chosen"
        " cells\n  = s/a: only = [{ seed = 1 }]\n  = t/b: only = [{ seed = 1 }]\n"
        "  = hint: nothing was changed; write this by hand into the table of the image"
    )
    assert texts(place) == [SPEC, OTHER]


def test_a_folder_that_cant_be_written(place: Workspace) -> None:
    """No spec is changed."""
    keeping = load(place.root).keep(["s/a[seed=1]"])
    shutil.rmtree(place.root / ".qwenbuild/tmp")
    (place.root / ".qwenbuild/tmp").write_text("in the way")
    with pytest.raises(UsageError) as refused:
        keeping.write()
    assert str(refused.value) == (
        f"error: {place.root}/.qwenbuild/tmp can't be written: File exists\n  = hint: nothing was changed"
    )
    assert texts(place) == [SPEC, OTHER]


def test_the_others_come_back_for_free(place: Workspace) -> None:
    """Without the tables, the store has every image; their time in the store begins anew."""
    results = sorted((Path(os.environ["QWENBUILD_CACHE_DIR"]) / "ac").rglob("?" * 64))
    for path in results:
        os.utime(path, (10**9, 10**9))
    load(place.root).keep(["s/a[seed=1,word=x]"]).write()
    assert sum(path.stat().st_mtime > 10**9 + 1 for path in results) == 3
    load(place.root).build()
    load(place.root).clean(orphans_only=True)
    place.write({"specs/s.toml": SPEC})
    finished = load(place.root).build()
    assert (finished.rendered, finished.restored, finished.up_to_date) == (0, 3, 3)


def test_a_star_without_a_cell_is_told(place: Workspace) -> None:
    """It keeps nothing."""
    engine = load(place.root, picked=True)
    load(place.root).pick(["s/a[seed=1,word=x]", "t/b[seed=1]"])
    place.write({"specs/t.toml": OTHER.replace("[1, 2]", "[2, 3]")})
    keeping = engine.keep()
    assert ([warning.claim for warning in keeping.warnings], keeping.kept) == (
        ["1 starred cell is declared by no spec: t/b[seed=1]"], ["s/a[seed=1,word=x]"],
    )  # fmt: skip
