"""The engine's comparison of builds and revisions."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess

import pytest

from qwenbuild import load
from qwenbuild.engine.comparison import compare, report
from qwenbuild.errors import UsageError
from qwenbuild.storage.state import state_path
from tests.support.workspace import Workspace


def build(place: Workspace, **prompts: str) -> None:
    """Build a project with an image for each prompt."""
    specs = "".join(f'[image.{name}]\nprompt = "{prompt}"\nseed = 1\n' for name, prompt in prompts.items())
    place.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": specs})
    load(place.root).build()


def git(place: Workspace, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    subprocess.run(["git", "-C", str(place.root), *identity, *arguments], check=True, capture_output=True)


def differences(place: Workspace, old: str, new: str | None = None) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the labels of both sides, and kind, name and reason of each difference."""
    found = compare(load(place.root), old, new)
    labels = f"{found.old.label}, {found.new.label}"
    return labels, [(it.kind, it.name, it.reason) for it in found.differences]


@pytest.fixture
def place(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three builds: the second changes a, drops b and adds c; the third takes b back."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    build(project, a="red", b="green")
    build(project, a="blue", c="white")
    build(project, a="blue", b="green", c="white")
    return project


CHANGED, ADDED = ("changed", "s/a", "prompt changed: -red +blue"), ("added", "s/c", "added")


def test_two_builds(place: Workspace) -> None:
    """Each is as its state was when it had ended; without a second one, the first is compared with now."""
    assert differences(place, "1", "2") == (
        "build 1, build 2", [ADDED, CHANGED, ("dropped", "s/b", "dropped")]
    )  # fmt: skip
    assert differences(place, "2", "3") == ("build 2, build 3", [("added", "s/b", "added")])
    assert differences(place, "1", "3") == ("build 1, build 3", [ADDED, CHANGED])
    assert differences(place, "1") == differences(place, "1..") == ("build 1, now", [ADDED, CHANGED])
    assert differences(place, "2..3") == differences(place, "2", "3")
    assert differences(place, "3") == ("build 3, now", [])
    back = differences(place, "3", "1")
    assert back == (
        "build 3, build 1",
        [("changed", "s/a", "prompt changed: -blue +red"), ("dropped", "s/c", "dropped")],
    )


def test_an_image_that_was_rendered_again(place: Workspace) -> None:
    """The request is the same, the image is another. A cell whose record is gone is named by its path."""
    with contextlib.closing(sqlite3.connect(state_path(place.root))) as db, db:
        db.execute("INSERT INTO history(path, key, image, at_s) SELECT path, key, hex(zeroblob(32)), at_s + 9"
                   " FROM history ORDER BY id DESC LIMIT 1")  # fmt: skip
        db.execute("DELETE FROM outputs")
        last = db.execute("SELECT path FROM history ORDER BY id DESC LIMIT 1").fetchone()[0]
    assert differences(place, "1")[1][-1] == ("changed", "s/a.png", "prompt changed: -red +blue")
    with contextlib.closing(sqlite3.connect(state_path(place.root))) as db, db:
        db.execute("UPDATE history SET at_s = at_s - 5 WHERE id = (SELECT max(id) FROM history)")
        db.execute("INSERT INTO runs(started_at_s) SELECT at_s - 1 FROM history ORDER BY id DESC LIMIT 1")
    assert differences(place, "3", "4")[1] == [("repinned", last, "another image of the same request")]


def test_revisions(place: Workspace) -> None:
    """Their locks are compared, with each other, with the present lock, or with a build."""
    with pytest.raises(UsageError) as caught:
        compare(load(place.root), "main")
    assert str(caught.value) == (
        f"error: {place.root} is in no git repository\n  = hint: only there revisions can be compared"
    )
    git(place, "init", "-q", "-b", "main")
    git(place, "commit", "-qm", "nothing", "--allow-empty")
    git(place, "add", ".")
    git(place, "commit", "-qm", "images")
    build(place, a="red", b="green", c="white")
    expected = [("changed", "s/a", "prompt changed: -blue +red")]
    assert differences(place, "main") == ("main, now", expected)
    assert differences(place, "main", "4") == ("main, build 4", expected)
    assert differences(place, "HEAD", "main") == ("HEAD, main", [])
    with pytest.raises(UsageError, match=r"HEAD~1 has no qwenbuild.lock"):
        compare(load(place.root), "HEAD~1", "main")
    with pytest.raises(UsageError, match="the lock pins what the provider"):
        compare(load(place.root, provider="draft"), "main")


def test_a_build_that_is_not_on_record(place: Workspace) -> None:
    """The message says which is the last one. A number may also be a revision of git."""
    with pytest.raises(UsageError) as caught:
        compare(load(place.root), "12")
    assert str(caught.value) == (
        "error: no build 12\n  = the last build is 3\n  = hint: `qwenbuild log` lists the builds"
    )
    git(place, "init", "-q")
    git(place, "add", ".")
    git(place, "commit", "-qm", "images")
    git(place, "tag", "2026")
    assert differences(place, "2026") == ("2026, now", [])
    state_path(place.root).unlink()
    with pytest.raises(UsageError, match="no build 3") as caught:
        compare(load(place.root), "3")
    assert caught.value.facts == ("no build is on record",)


def test_a_report_of_what_differs(place: Workspace) -> None:
    """It has only the cells that differ, with the image of the other side; without any, there is no report."""
    told: list[tuple[int, int]] = []
    written = report(load(place.root), "1", tell=lambda done, total: told.append((done, total)))
    assert (written.index, written.cells) == (place.root / ".qwenbuild/report-diff/index.html", 2)
    assert told == [(1, 3), (2, 3), (3, 3)]
    text = (written.index.parent / "data.js").read_text("utf-8")
    model = json.loads(text.split("qwenbuildData.model = ")[1].rstrip(";\n"))
    with load(place.root).state() as state:
        first = state.history("s/a.png")[-1].image
    assert [cell.get("before") for cell in model["cells"]] == [first, None]
    assert model["compared"] == {"label": "build 1", "dropped": 0}
    detail = (written.index.parent / "details/0.js").read_text("utf-8")
    assert f'"history":[{{"image":"{first}"' in detail
    again = report(load(place.root), "1", tell=lambda done, total: told.append((done, total)))
    assert (again.cells, len(told)) == (2, 3)
    other = report(load(place.root), "2", place.root / "page")
    assert (other.index, other.cells) == (place.root / "page/index.html", 1)
    with pytest.raises(UsageError, match="no selected cell differs from build 3"):
        report(load(place.root), "3")
    with pytest.raises(UsageError, match="no selected cell differs from build 1"):
        report(load(place.root, select=["s/b"]), "1")
