"""The preview's page in a real browser: arranging, details, comparing, saves, and what costs money."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.watched import Running, built, previewing, until
from tests.support.workspace import Workspace

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
"""The axe checker. One rule is off: it does not see that a tile is named by its caption if a checkbox is inside."""

SPEC = """
[image.dog]
prompt = "A {{ mood }} dog at {{ place | quoted }} <script>alert(1)</script>"
[image.dog.matrix]
mood = ["calm", "wild"]
place = ["sea", "حديقة", "雪の庭"]
size = ["1:1", "16:9"]

[image.cat]
prompt = "A cat"
matrix = { seed = [1, 2, 3] }
"""


@pytest.fixture
def running(project: Workspace) -> Iterator[Running]:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})
    built(project, select=["pets/dog"], where=["mood=calm"])
    with previewing(project, price_cny="0.20") as preview:
        yield preview


@pytest.fixture
def shown(running: Running, page: Any) -> Any:
    page.goto(running.address)
    expect(page.locator(".tile")).to_have_count(15)
    return page


def save(running: Running, text: str) -> None:
    (running.watched.project.root / "specs/pets.toml").write_text(text, "utf-8")
    running.refresh()


def test_every_cell_is_shown_with_its_status(shown: Any) -> None:
    """The page counts the verdicts, shows a tile for each cell, and hides the token from the address."""
    expect(shown.locator("#counts")).to_have_text("15 cells6 up to date9 to render")
    expect(shown.get_by_role("rowheader")).to_have_text(["pets/dog12", "pets/cat3"])
    expect(shown.locator(".tile.image img")).to_have_count(6)
    expect(shown.locator(".tile.none .blank")).to_have_count(9)
    assert "token" not in shown.url


def test_the_address_keeps_the_arrangement(shown: Any) -> None:
    """Rows and columns by axis survive a reload, because they are in the address."""
    shown.get_by_label("Rows", exact=True).select_option("mood")
    shown.get_by_label("Columns").select_option("place")
    expect(shown.get_by_role("columnheader")).to_have_text(["sea", "حديقة", "雪の庭", "—"])
    expect(shown.get_by_role("rowheader")).to_have_text(["calm6", "wild6", "—3"])
    shown.reload()
    expect(shown.get_by_role("columnheader")).to_have_count(4)
    assert re.search(r"#rows=mood&cols=place$", shown.url)


def test_filter_by_text_verdict_and_axis(shown: Any) -> None:
    """Each filter narrows the tiles, and one button clears all filters."""
    shown.get_by_label("Filter by name or prompt").fill("wild 雪")
    expect(shown.locator(".tile")).to_have_count(2)
    shown.get_by_label("Filter by name or prompt").fill("")
    shown.get_by_label("Status").select_option("up_to_date")
    expect(shown.locator(".tile")).to_have_count(6)
    shown.get_by_role("button", name="Filters", exact=True).click()
    shown.get_by_label("place", exact=True).select_option("sea")
    expect(shown.locator(".tile")).to_have_count(2)
    shown.get_by_label("Filter by name or prompt").fill("nothing like it")
    expect(shown.get_by_text("No cell matches")).to_be_visible()
    shown.locator("#nothing button").click()
    expect(shown.locator(".tile")).to_have_count(15)


def test_details_mark_where_words_come_from(shown: Any) -> None:
    """The detail view marks the parts that axes gave; HTML in a prompt stays text."""
    shown.locator(".tile").nth(2).click()
    dialog = shown.get_by_role("dialog")
    expect(dialog.locator(".prompt mark")).to_have_text(["calm", "“حديقة”"])
    expect(dialog.locator(".legend")).to_have_text("mood axisplace axis")
    expect(dialog.locator(".prompt").first).to_contain_text("<script>alert(1)</script>")
    expect(dialog.locator(".frame img")).to_have_js_property("complete", value=True)
    dialog.get_by_role("button", name="Copy name").click()
    assert shown.evaluate("navigator.clipboard.readText()").startswith("pets/dog[mood=calm,place=حديقة")
    shown.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_zoom_by_keys(shown: Any) -> None:
    """Plus zooms an image, and 0 shows all of it again."""
    shown.locator(".tile").first.click()
    stage = shown.locator(".stage")
    stage.focus()
    shown.keyboard.press("+")
    expect(shown.locator(".level")).to_have_text("1.4×")
    shown.keyboard.press("0")
    expect(shown.locator(".level")).to_have_text("")


def test_a_save_shows_the_changed_words(running: Running, shown: Any) -> None:
    """After a save the open detail view shows the new verdict and the changed words."""
    shown.locator(".tile").first.click()
    save(running, SPEC.replace("dog at", "puppy near"))
    dialog = shown.get_by_role("dialog")
    expect(dialog.locator(".verdict strong")).to_have_text("to render")
    expect(dialog.locator(".diff del")).to_have_text("dog at")
    expect(dialog.locator(".diff ins")).to_have_text("puppy near")
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile.old")).to_have_count(6)


def test_details_that_are_late(running: Running, shown: Any) -> None:
    """Details from before a save, which arrive after it, neither stand in for those after it nor replace them."""
    held: list[Any] = []
    answers: list[Any] = []

    def hold_first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)
            answers.append(route.fetch())

    shown.route("**/details.json*", hold_first)
    shown.locator(".tile").first.click()
    until(shown, lambda: bool(answers))
    save(running, SPEC.replace("dog at", "puppy near"))
    changed = shown.get_by_role("dialog").locator(".diff ins")
    expect(changed).to_have_text("puppy near")
    with shown.expect_event("requestfinished", lambda request: request == held[0].request):
        held[0].fulfill(response=answers[0])
    shown.evaluate("new Promise((done) => setTimeout(done, 100))")
    expect(changed).to_have_text("puppy near")


def test_another_cell_is_drawn_anew(shown: Any) -> None:
    """Also if its details are asked for a second time before the first answer: nothing of the cell before stays."""
    shown.set_viewport_size({"width": 900, "height": 400})
    shown.locator(".tile").first.click()
    facts = shown.get_by_role("region", name="About this cell")
    facts.evaluate("it => { it.scrollTop = 100 }")
    assert facts.evaluate("it => it.scrollTop") == 100
    held: list[Any] = []
    shown.route("**/details.json*", lambda route: route.continue_() if held else held.append(route))
    shown.keyboard.press("ArrowRight")
    until(shown, lambda: bool(held))
    shown.keyboard.press("f")
    expect(shown.get_by_role("button", name="★ Starred")).to_be_visible()
    expect(shown.locator(".detail-body[aria-busy]")).to_have_count(0)
    assert facts.evaluate("it => it.scrollTop") == 0
    shown.keyboard.press("f")
    expect(shown.get_by_role("button", name="☆ Star")).to_be_visible()


def test_an_error_is_shown_until_it_is_fixed(running: Running, shown: Any) -> None:
    """An error shows its code frame and hint; the cells stay, and the fix removes it."""
    save(running, SPEC.replace("mood }}", "moood }}"))
    problems = shown.get_by_role("alert")
    expect(problems).to_contain_text('undefined variable "moood"')
    expect(problems).to_contain_text("^^^^^")
    expect(problems).to_contain_text('did you mean "mood"?')
    expect(shown.locator(".tile")).to_have_count(15)
    save(running, SPEC)
    expect(problems).to_be_hidden()


def test_a_render_costs_what_its_button_says(running: Running, shown: Any) -> None:
    """One click renders a missing image at the button's price; rendering it again asks first."""
    shown.locator(".tile.none").first.click()
    shown.get_by_role("button", name="Render · 0.20 CNY").click()
    expect(shown.locator(".verdict strong")).to_have_text("up to date")
    assert running.watched.rendered == [(["pets/dog[mood=wild,place=sea,size=1328x1328]"], False)]
    shown.get_by_role("button", name="Re-render · 0.20 CNY").click()
    shown.get_by_role("button", name="Re-render for 0.20 CNY").click()
    expect(shown.locator("#run")).to_contain_text("spent 0.40 CNY")
    assert running.watched.rendered[1] == (["pets/dog[mood=wild,place=sea,size=1328x1328]"], True)


def test_several_renders_need_a_confirmation(running: Running, shown: Any) -> None:
    """The dialog names the number and the price; only its button starts the renders."""
    shown.get_by_role("button", name="Render 9").click()
    dialog = shown.get_by_role("dialog", name="Render 9 images?")
    expect(dialog).to_contain_text("This costs 1.80 CNY")
    dialog.get_by_role("button", name="Cancel").click()
    assert running.watched.rendered == []
    shown.get_by_role("button", name="Render 9").click()
    shown.get_by_role("button", name="Render for 1.80 CNY").click()
    expect(shown.locator("#counts")).to_have_text("15 cellsall up to date")


def test_without_the_token_render_is_disabled(running: Running, page: Any) -> None:
    """A page that was opened without the token can only look."""
    page.goto(running.origin)
    expect(page.get_by_role("button", name="Render 9")).to_be_disabled()


def test_before_and_after(running: Running, shown: Any) -> None:
    """A slider compares an earlier image with the present one, and the changed words are marked."""
    save(running, SPEC.replace("dog at", "puppy near"))
    built(Workspace(running.watched.project.root))
    running.refresh()
    expect(shown.locator("#counts")).to_have_text("15 cellsall up to date")  # the page has what was built
    shown.locator(".tile").first.click()
    shown.get_by_role("button", name="Compare with the image of").click()
    expect(shown.locator(".frame img")).to_have_count(2)
    slider = shown.get_by_role("slider", name="Before and after")
    slider.fill("80")
    expect(shown.locator(".layer.after")).to_have_css("clip-path", "inset(0px 0px 0px 80%)")
    expect(shown.locator(".diff ins")).to_have_text("puppy near")


def test_compare_zooms_together(shown: Any) -> None:
    """Compared images zoom together."""
    shown.locator(".tile").first.focus()
    for key in ("x", "ArrowRight", "x", "ArrowRight", "x", "c"):
        shown.keyboard.press(key)
    expect(shown.locator(".compare figure")).to_have_count(3)
    shown.locator(".compare .stage").first.focus()
    shown.keyboard.press("+")
    expect(shown.locator(".compare .level")).to_have_text(["1.4×"] * 3)


def test_keys_alone_are_enough(shown: Any) -> None:
    """All of the page can be used with the keyboard, and the focus is never lost."""
    shown.keyboard.press("Tab")
    expect(shown.get_by_text("Skip to the images")).to_be_focused()
    shown.keyboard.press("Enter")
    expect(shown.locator(".tile").first).to_be_focused()
    for key, name in (("ArrowRight", "size=1664x928"), ("ArrowDown", "pets/"), ("Home", "place=sea,size=1328x1328"),
                      ("End", "seed=3")):  # fmt: skip
        shown.keyboard.press(key)
        expect(shown.locator(".tile:focus")).to_have_accessible_name(re.compile(re.escape(name)))
    shown.keyboard.press("Home")
    shown.keyboard.press("Enter")
    expect(shown.get_by_role("dialog")).to_be_visible()
    shown.keyboard.press("ArrowRight")
    expect(shown.get_by_role("dialog").locator("h2")).to_contain_text("size=1664x928")
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile").nth(1)).to_be_focused()
    shown.keyboard.press("/")
    expect(shown.get_by_label("Filter by name or prompt")).to_be_focused()


def test_axe_finds_nothing(shown: Any) -> None:
    """The axe checker finds no violation in any view, in light and in dark."""
    shown.evaluate(AXE)
    audit(shown)
    shown.get_by_label("Columns").select_option("place")
    shown.get_by_role("button", name="Filters", exact=True).click()
    shown.locator(".tile").first.focus()
    for key in ("x", "ArrowRight", "x", "f"):
        shown.keyboard.press(key)
    audit(shown)
    for key in ("Enter", "c", "?"):
        shown.keyboard.press(key)
        expect(shown.get_by_role("dialog")).to_be_visible()
        expect(shown.locator("[aria-busy]")).to_have_count(0)
        audit(shown)
        shown.keyboard.press("Escape")
    shown.keyboard.press("c")
    for key in ("b", "o", "m"):
        shown.keyboard.press(key)
        expect(shown.get_by_role("dialog").locator(".slide")).to_be_visible()
        audit(shown)
    shown.keyboard.press("Escape")
    for name in ("Render 9", "1 star"):
        shown.get_by_role("button", name=name).click()
        audit(shown)
        shown.keyboard.press("Escape")
    shown.locator("#tray").get_by_role("button", name="Keep only these").click()
    expect(shown.locator(".patch")).to_be_visible()
    audit(shown)
    shown.keyboard.press("Escape")


def audit(page: Any) -> None:
    for scheme, rules in ("light", "{ rules: { 'label-content-name-mismatch': { enabled: false } } }"), (
        "dark", "{ runOnly: ['color-contrast'] }",
    ):  # fmt: skip
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(f"axe.run(document, {rules})")
        assert [(it["id"], it["help"], [node["html"] for node in it["nodes"]]) for it in found["violations"]] == []


def test_a_narrow_screen_has_everything(shown: Any) -> None:
    """On a phone nothing is wider than the screen, and a button shows the controls."""
    shown.set_viewport_size({"width": 390, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") == 390
    shown.get_by_role("button", name="Arrange").click()
    expect(shown.get_by_label("Columns")).to_be_visible()
