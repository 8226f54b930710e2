"""Stars in a real browser: in a preview they are the project's picks.toml; a report says which commands change them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from qwenbuild.engine.engine import load
from tests.support.watched import Running, built, previewing, until
from tests.support.workspace import Workspace

SPEC = """\
# All dogs.
[image.dog]
prompt = "A {{ mood }} dog"
matrix = { mood = ["calm", "wild"], size = ["1:1", "16:9"], seed = [1, 2] }

[image.cat]
prompt = "A cat"
matrix = { seed = [1, 2, 3] }
"""
FIRST = "pets/dog[mood=calm,seed=1,size=1328x1328]"
LAST = "pets/cat[seed=3]"


@pytest.fixture
def running(project: Workspace) -> Iterator[Running]:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})
    built(project, where=["seed=1", "seed=2", "seed=3"])
    with previewing(project) as preview:
        yield preview


@pytest.fixture
def shown(running: Running, page: Any) -> Any:
    page.goto(running.address)
    expect(page.locator(".tile")).to_have_count(11)
    return page


def root(running: Running) -> Path:
    return running.watched.project.root


def starred(running: Running) -> list[str]:
    return [pick.cell for pick in load(root(running)).picks()]


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_stars_are_the_projects(running: Running, shown: Any) -> None:
    """`f` in the grid, and in an open image, writes picks.toml; a reload and another page have the same stars."""
    press(shown, "Home", "f", "End", "f")
    expect(shown.get_by_role("button", name="2 stars")).to_be_visible()
    expect(shown.locator(".tile .star")).to_have_count(2)
    press(shown, "ArrowLeft", "Enter")
    shown.get_by_role("button", name="☆ Star").click()
    expect(shown.get_by_role("button", name="★ Starred")).to_be_focused()
    press(shown, "f")
    expect(shown.get_by_role("button", name="☆ Star")).to_be_visible()
    until(shown, lambda: len(starred(running)) == 2)
    shown.reload()
    press(shown, "Escape")
    expect(shown.locator(".tile .star")).to_have_count(2)
    assert starred(running) == [LAST, FIRST]


def test_a_star_that_is_set_elsewhere_shows_at_once(running: Running, shown: Any) -> None:
    """What `qwenbuild pick` and people write into picks.toml appears without a reload."""
    load(root(running)).pick([LAST], note="soft fur")
    running.refresh()
    expect(shown.locator(".tile .star")).to_have_count(1)
    shown.get_by_role("button", name="1 star").click()
    expect(shown.get_by_label(f"Note on {LAST}")).to_have_value("soft fur")
    shown.get_by_label(f"Note on {LAST}").fill("softer fur")
    press(shown, "Tab")
    until(shown, lambda: [pick.note for pick in load(root(running)).picks()] == ["softer fur"])
    shown.get_by_role("button", name=f"Remove the star of {LAST}").click()
    expect(shown.get_by_text("No stars yet.")).to_be_visible()
    until(shown, lambda: starred(running) == [])


def test_a_star_that_cannot_be_written_is_taken_back(running: Running, shown: Any, expected: list[str]) -> None:
    """A faulty picks.toml stays as it is; the page says why, and shows no star that is not there."""
    text = 'version = 1\n[[pick]]\ncel = "x"\n'
    (root(running) / "picks.toml").write_text(text)
    expected.append("409 (Conflict)")
    press(shown, "Home", "f")
    expect(shown.locator("#toast")).to_contain_text('unknown key "cel"')
    expect(shown.locator(".tile .star")).to_have_count(0)
    assert (root(running) / "picks.toml").read_text() == text


def test_filters_by_star(running: Running, shown: Any) -> None:
    """The starred cells, and those whose image has changed since; the address keeps the filter."""
    press(shown, "Home", "f", "End", "f")
    until(shown, lambda: len(starred(running)) == 2)  # before their images change
    expect(shown.locator(".tile .star")).to_have_count(2)
    shown.get_by_label("Show").select_option("starred")
    expect(shown.locator(".tile")).to_have_count(2)
    shown.get_by_label("Show").select_option("changed since the star")
    expect(shown.get_by_text("No cell matches")).to_be_visible()
    (root(running) / "specs/pets.toml").write_text(SPEC.replace("A cat", "A tom"))
    built(Workspace(root(running)))
    running.refresh()
    expect(shown.locator(".tile")).to_have_count(1)
    shown.reload()
    expect(shown.locator(".tile")).to_have_count(1)
    shown.get_by_role("button", name="Clear filters").first.click()
    expect(shown.locator(".tile")).to_have_count(11)


def test_unseen_images(running: Running, shown: Any) -> None:
    """What was in view is seen; a new image is not. The list stays while it is looked at."""
    seen = "(localStorage.getItem('qwenbuild-seen:project') || '').length"
    until(shown, lambda: shown.evaluate(seen) > 100)
    shown.get_by_label("Show").select_option("unseen")
    expect(shown.get_by_text("No cell matches")).to_be_visible()
    (root(running) / "specs/pets.toml").write_text(SPEC.replace("A cat", "A tom"))
    built(Workspace(root(running)))
    running.refresh()
    expect(shown.locator(".tile")).to_have_count(3)
    before = shown.evaluate(seen)
    until(shown, lambda: shown.evaluate(seen) > before)
    running.refresh()
    expect(shown.locator(".tile")).to_have_count(3)
    shown.get_by_label("Show").select_option("all")
    shown.get_by_label("Show").select_option("unseen")
    expect(shown.get_by_text("No cell matches")).to_be_visible()


def test_favourites_of_an_earlier_version_become_stars(running: Running, shown: Any) -> None:
    """What this browser kept is offered once."""
    path = shown.locator(".tile").first.get_attribute("data-path")
    shown.evaluate(f"localStorage.setItem('qwenbuild-favourites:project', JSON.stringify(['{path}', 'gone.png']))")
    shown.reload()
    expect(shown.locator("#notice")).to_contain_text("This browser has 1 favourite of an earlier version.")
    shown.get_by_role("button", name="Keep them as stars").click()
    expect(shown.locator(".tile .star")).to_have_count(1)
    expect(shown.locator("#notice")).to_be_hidden()
    until(shown, lambda: starred(running) == [FIRST])
    assert shown.evaluate("localStorage.getItem('qwenbuild-favourites:project')") is None


def test_keep_only_the_starred_cells_by_keyboard(running: Running, shown: Any) -> None:
    """The page shows what would be written; then exactly these cells are left, and nothing is rendered."""
    press(shown, "Home", "f", "ArrowRight", "ArrowRight", "f")
    until(shown, lambda: len(starred(running)) == 2)
    chosen = starred(running)
    shown.get_by_role("button", name="2 stars").focus()
    press(shown, "Enter")
    shown.get_by_role("button", name="Keep only these").focus()
    press(shown, "Enter")
    dialog = shown.get_by_role("dialog", name="Keep only these 2 cells")
    expect(dialog.locator(".patch .added").first).to_be_visible()
    expect(dialog.locator(".hint").first).to_contain_text("6 cells are left out. Images of 6 stay in out/")
    assert (root(running) / "specs/pets.toml").read_text() == SPEC
    expect(dialog.get_by_role("button", name="Write it")).to_be_focused()
    press(shown, "Enter")
    expect(shown.locator(".tile")).to_have_count(5)
    expect(shown.locator("#counts")).to_contain_text("all up to date")
    plan = load(root(running)).plan()
    assert sorted(step.action.name for step in plan.steps if "dog" in step.action.name) == chosen
    assert (root(running) / "specs/pets.toml").read_text().startswith("# All dogs.\n")


def test_the_shown_change_applies_to_the_spec(running: Running, shown: Any, tmp_path: Path) -> None:
    """The lines that the page adds, pasted where it says, declare exactly the selected cells."""
    press(shown, "Home", "x", "ArrowRight", "ArrowRight", "ArrowRight", "x", "End", "x")
    shown.locator("#tray").get_by_role("button", name="Keep only these").click()
    dialog = shown.get_by_role("dialog", name="Keep only these 3 cells")
    dialog.get_by_role("button", name="Copy").click()
    diff = shown.evaluate("navigator.clipboard.readText()")
    spec = root(running) / "specs/pets.toml"
    spec.write_text(pasted(spec.read_text(), diff))
    running.refresh()
    built(Workspace(root(running)))
    names = [step.action.name for step in load(root(running)).plan().steps]
    assert names == [FIRST, "pets/dog[mood=calm,seed=2,size=1664x928]", LAST]


def pasted(text: str, diff: str) -> str:
    """Return a text with the added lines of a diff that removes none, each hunk at its place."""
    found: list[str] = []
    old = text.splitlines(keepends=True)
    at = 0
    for line in diff.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            start = int(line.split()[1].partition(",")[0].removeprefix("-")) - 1
            found, at = [*found, *old[at:start]], start
        elif line.startswith("+"):
            found.append(line[1:])
        else:
            assert line[1:] == old[at]
            found.append(old[at])
            at += 1
    return "".join([*found, *old[at:]])


def test_a_page_without_the_key_only_looks(running: Running, page: Any) -> None:
    """Without the key of the address a star is refused, and the page says what to do."""
    page.goto(running.origin)
    expect(page.locator(".tile")).to_have_count(11)
    press(page, "Home", "f")
    expect(page.locator("#toast")).to_have_text("To star images, open the address that the terminal shows")
    expect(page.locator(".tile .star")).to_have_count(0)
    assert starred(running) == []


def test_an_address_that_is_opened_in_the_same_tab_gives_its_key(running: Running, page: Any) -> None:
    """A page that only looks can act once the address of the terminal is opened in its place."""
    page.goto(f"{running.origin}/#tile=large")
    expect(page.locator(".tile")).to_have_count(11)
    page.goto(running.address)
    until(page, lambda: page.evaluate("qb.access.may"))
    press(page, "Home", "f")
    until(page, lambda: starred(running) == [FIRST])


def test_nobody_can_read_the_key(shown: Any) -> None:
    """The address, the storage and the cookies of the page do not hold the key; scripts can only use it."""
    assert "token" not in shown.url
    assert shown.evaluate("document.cookie + JSON.stringify(sessionStorage)") == "{}"
    kept = shown.evaluate("""() => new Promise((resolve) => {
        const opening = indexedDB.open("qwenbuild");
        opening.onsuccess = () => {
            const asked = opening.result.transaction("keys").objectStore("keys").get("key");
            asked.onsuccess = () => resolve([asked.result.extractable, asked.result.usages]);
        };
    })""")
    assert kept == [False, ["sign"]]


def test_a_report_says_which_commands_change_its_stars(project: Workspace, page: Any) -> None:
    """A report shows the stars of picks.toml. Changes stay in this browser, and are commands for the project."""
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})
    built(project)
    load(project.root).pick([FIRST], note="soft")
    page.goto(load(project.root).report().index.as_uri())
    expect(page.locator(".tile .star")).to_have_count(1)
    press(page, "Home", "f", "End", "f")
    page.reload()
    expect(page.locator(".tile .star")).to_have_count(1)
    page.get_by_role("button", name="1 star").click()
    commands = page.get_by_label("To star them in the project", exact=True).inner_text().splitlines()
    assert [shlex.split(line) for line in commands] == [
        ["qwenbuild", "pick", LAST], ["qwenbuild", "pick", "--drop", FIRST],
    ]  # fmt: skip
    page.get_by_role("button", name="Keep only these").click()
    assert shlex.split(page.get_by_role("dialog").locator("pre").inner_text()) == ["qwenbuild", "keep", LAST]
