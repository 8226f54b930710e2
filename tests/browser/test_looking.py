"""Looking at images in a real browser: keys, zoom, captions, and two images in one frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from qwenbuild.engine.engine import load
from tests.support.watched import Running, built, previewing
from tests.support.workspace import Workspace

SPEC = """
[image.dog]
prompt = "A {{ mood }} dog"
[image.dog.matrix]
mood = ["calm", "wild"]
size = ["1:1", "16:9"]
seed = [1, 2, 3]
"""


@pytest.fixture
def running(project: Workspace) -> Iterator[Running]:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})
    built(project)
    with previewing(project) as preview:
        yield preview


@pytest.fixture
def shown(running: Running, page: Any) -> Any:
    page.goto(running.address)
    expect(page.locator(".tile img")).to_have_count(12)
    return page


def opened(page: Any, number: int = 0) -> Any:
    """Open a cell, and return its picture."""
    page.locator(".tile").nth(number).click()
    picture = page.locator(".detail .layer img").first
    expect(picture).to_have_js_property("complete", value=True)
    return picture


def compared(page: Any, *numbers: int) -> Any:
    """Compare cells, and return the dialog."""
    for number in numbers:
        page.locator(".tile").nth(number).focus()
        page.keyboard.press("x")
    page.keyboard.press("c")
    return page.get_by_role("dialog")


def point(picture: Any, x: float, y: float) -> tuple[float, float]:
    """Return which part of a picture is at a place of the screen; 0 to 1 in both directions."""
    box = picture.bounding_box()
    return (round((x - box["x"]) / box["width"], 2), round((y - box["y"]) / box["height"], 2))


# --- keys ---


def nothing(page: Any) -> None:
    page.evaluate("document.activeElement.blur()")


def a_clicked_button(page: Any) -> None:
    page.get_by_role("button", name="Filters", exact=True).click()


def a_clicked_checkbox(page: Any) -> None:
    page.locator(".tile input").nth(11).click()
    page.keyboard.press("Escape")


def the_body(page: Any) -> None:
    page.locator("#counts").click()


@pytest.mark.parametrize("focus", [nothing, a_clicked_button, a_clicked_checkbox, the_body])
def test_keys_work_whatever_has_the_focus(shown: Any, focus: Callable[[Any], None]) -> None:
    """On a fresh page each key acts at once."""
    expect(shown.locator(".tile")).to_have_count(12)
    focus(shown)
    shown.keyboard.press("Home")
    shown.keyboard.press("x")
    expect(shown.locator(".tile").nth(0)).to_have_attribute("aria-selected", "true")
    focus_again = focus if focus is not a_clicked_checkbox else nothing
    focus_again(shown)
    shown.keyboard.press("ArrowRight")
    expect(shown.locator(".tile").nth(1)).to_be_focused()
    focus_again(shown)
    shown.keyboard.press("Enter")
    expect(shown.get_by_role("dialog").locator("h2")).to_contain_text("mood=calm,seed=2,size=1328x1328")


def test_a_button_that_the_keyboard_reached_takes_enter(shown: Any) -> None:
    """Enter presses the button that Tab has reached."""
    shown.locator("#text").focus()
    for _ in range(20):
        shown.keyboard.press("Tab")
        if shown.evaluate("document.activeElement.textContent") == "Filters":
            break
    shown.keyboard.press("Enter")
    expect(shown.get_by_label("mood", exact=True)).to_be_visible()
    expect(shown.get_by_role("dialog")).to_have_count(0)


def test_text_fields_and_selects_keep_their_keys(shown: Any) -> None:
    """In a text field and in a select, keys type."""
    shown.keyboard.press("/")
    shown.keyboard.type("x+0-?")
    expect(shown.locator("#text")).to_have_value("x+0-?")
    expect(shown.locator("#tray")).to_be_hidden()
    shown.locator("#text").fill("")
    expect(shown.locator(".tile")).to_have_count(12)
    shown.get_by_label("Tiles").focus()
    shown.keyboard.press("x")
    shown.keyboard.press("?")
    expect(shown.locator("#tray")).to_be_hidden()
    expect(shown.get_by_role("dialog")).to_have_count(0)


def test_a_key_acts_on_a_cell_that_is_in_view(project: Workspace, page: Any) -> None:
    """After the first cells were scrolled away, a key acts on the first cell in view."""
    project.write({"specs/many.toml": '[image.a]\nprompt = "a"\nmatrix.seed = { start = 1, count = 400 }\n'})
    page.goto(load(project.root).report().index.as_uri())
    page.locator("#grid").evaluate("(grid) => { grid.scrollTop = 3000; }")
    expect(page.locator('.tile[data-path="many/a-1.png"]')).to_have_count(0)
    page.keyboard.press("x")
    box, grid = page.locator(".tile.marked").bounding_box(), page.locator("#grid").bounding_box()
    assert grid["y"] - box["height"] < box["y"] < grid["y"] + grid["height"]


def test_larger_tiles_keep_the_place(project: Workspace, page: Any) -> None:
    """When the tiles become larger, the cell that was used last stays at its height on the screen."""
    project.write({"specs/many.toml": '[image.a]\nprompt = "a"\nmatrix.seed = { start = 1, count = 400 }\n'})
    page.goto(load(project.root).report().index.as_uri())
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    tile = page.locator(".tile:focus")
    before, path = tile.bounding_box(), tile.get_attribute("data-path")
    page.keyboard.press("-")
    expect(page.get_by_label("Tiles")).to_have_value("small")
    expect(tile).to_have_attribute("data-path", path)
    assert abs(tile.bounding_box()["y"] - before["y"]) < 2


def test_the_list_of_keys_is_complete(running: Running, shown: Any) -> None:
    """The list that ? shows names each key; a test presses each of them, and each does what is said."""
    page = shown
    page.keyboard.press("?")
    groups = {
        section.locator("h3").inner_text(): set(section.locator("kbd").all_inner_texts())
        for section in page.locator(".help section").all()
    }
    page.keyboard.press("Escape")
    tile = page.locator(".tile")
    dialog, tray = page.get_by_role("dialog"), page.locator("#tray")

    def pressed(shown_keys: str) -> str:
        return {"←": "ArrowLeft", "→": "ArrowRight", "↑": "ArrowUp", "↓": "ArrowDown", "PgUp": "PageUp",
                "PgDn": "PageDown", "Esc": "Escape", "−": "-"}.get(shown_keys, shown_keys)  # fmt: skip

    def focused(number: int) -> Callable[[], None]:
        return lambda: expect(tile.nth(number)).to_be_focused()

    def reads(locator: Any, text: str | re.Pattern[str]) -> Callable[[], None]:
        return lambda: expect(locator).to_have_text(text)

    def has(locator: Any, name: str, value: str) -> Callable[[], None]:
        return lambda: expect(locator).to_have_attribute(name, value)

    def visible(locator: Any, is_visible: bool = True) -> Callable[[], None]:
        return lambda: expect(locator).to_be_visible(visible=is_visible)

    def mode(name: str) -> Callable[[], None]:
        return has(dialog.get_by_role("button", name=name, exact=True), "aria-pressed", "true")

    modes = (("b", "Blink"), ("w", "Slider"), ("o", "Overlay"), ("m", "Difference"))
    title, size, level = dialog.locator("h2"), page.get_by_label("Tiles"), page.locator(".level").first
    grid_checks: list[tuple[str, Callable[[], None]]] = [
        ("→", focused(1)), ("←", focused(0)), ("↓", lambda: expect(tile.nth(0)).not_to_be_focused()), ("↑", focused(0)),
        ("End", focused(11)), ("Home", focused(0)), ("PgDn", lambda: expect(tile.nth(0)).not_to_be_focused()),
        ("PgUp", focused(0)), ("x", has(tile.nth(0), "aria-selected", "true")), ("→", focused(1)), ("x", visible(tray)),
        ("c", reads(title, "Compare 2 images")), ("Esc", visible(dialog, is_visible=False)),
        ("f", lambda: expect(page.locator(".tile .star")).to_have_count(1)),
        ("+", lambda: expect(size).to_have_value("large")), ("0", lambda: expect(size).to_have_value("medium")),
        ("−", lambda: expect(size).to_have_value("small")), ("Esc", visible(tray, is_visible=False)),
        ("d", lambda: expect(page.locator(".tile.draft")).to_have_count(0)),
        ("/", lambda: expect(page.locator("#text")).to_be_focused()), ("Esc", focused(1)),
        ("?", reads(title, "Keys")), ("Esc", visible(dialog, is_visible=False)),
        ("Enter", visible(page.locator(".detail"))),
    ]  # fmt: skip
    zoomed = [
        ("+", reads(level, "1.4×")), ("−", reads(level, "")), ("z", reads(level, re.compile("×"))),
        ("0", reads(level, "")), ("+", reads(level, "1.4×")),
    ]  # fmt: skip
    detail_checks = [
        ("←", reads(title, re.compile("seed=1,size=1328"))), ("→", reads(title, re.compile("seed=2,size=1328"))),
        ("↓", reads(title, re.compile("pets/dog"))), ("↑", reads(title, re.compile("pets/dog"))),
        ("f", visible(dialog.get_by_role("button", name="☆ Star"))), ("d", reads(title, re.compile("pets/dog"))),
        ("e", visible(page.locator("#toast"))), *zoomed,
        *[(f"Shift {arrow}", reads(level, "1.4×")) for arrow in "←→↑↓"],
        *[(key, mode(name)) for key, name in modes],
        ("?", reads(title.last, "Keys")), ("Esc", visible(page.locator(".help"), is_visible=False)),
        ("Esc", visible(dialog, is_visible=False)),
    ]  # fmt: skip
    compare_checks = [
        ("2", has(dialog.get_by_role("button", name=re.compile("^2")), "aria-pressed", "true")),
        ("3", has(dialog.get_by_role("button", name=re.compile("^3")), "aria-pressed", "true")),
        ("4", has(dialog.get_by_role("button", name=re.compile("^4")), "aria-pressed", "true")),
        ("1", has(dialog.get_by_role("button", name=re.compile("^1")), "aria-pressed", "true")),
        ("f", lambda: expect(dialog.locator(".star-button[aria-pressed=true]")).to_have_count(1)), *zoomed,
        *[(arrow, reads(level, "1.4×")) for arrow in "←→↑↓"],
        *[(key, mode(name)) for key, name in modes], ("s", mode("Side by side")),
        ("Esc", visible(dialog, is_visible=False)),
    ]  # fmt: skip

    def check(checks: list[tuple[str, Callable[[], None]]]) -> None:
        for keys, verify in checks:
            page.keyboard.press("+".join(pressed(key) for key in keys.split(" ")))
            verify()

    again(running, page)
    check(grid_checks)
    check(detail_checks)
    compared(page, 0, 3, 6, 9)
    check(compare_checks)
    tried = {
        "Grid": grid_checks,
        "Open image": detail_checks,
        "Compare": compare_checks,
        "Everywhere": [("?", reads(title, "Keys"))],
    }
    assert groups == {
        name: {key for keys, _ in checks for key in keys.split(" ")} - ({"?"} if name != "Everywhere" else set())
        for name, checks in tried.items()
    }


def again(running: Running, page: Any) -> None:
    """Build other images for all cells, so that each cell has an earlier image, too."""
    spec = running.watched.project.root / "specs/pets.toml"
    spec.write_text(spec.read_text("utf-8").replace(" dog", " old dog"), "utf-8")
    built(Workspace(running.watched.project.root))
    running.refresh()
    expect(page.locator("#counts")).to_contain_text("all up to date")


# --- zoom ---


def test_the_wheel_zooms_around_the_pointer(shown: Any) -> None:
    """The part of the picture below the pointer stays there while the wheel or the keys zoom."""
    picture = opened(shown)
    box = picture.bounding_box()
    x, y = box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.7
    shown.mouse.move(x, y)
    shown.mouse.wheel(0, -400)
    expect(shown.locator(".level")).to_have_text("1.5×")
    assert point(picture, x, y) == (0.2, 0.7)
    shown.keyboard.press("+")
    expect(shown.locator(".level")).to_have_text("2.1×")
    assert point(picture, x, y) == (0.2, 0.7)


def test_keys_zoom_around_the_middle(shown: Any) -> None:
    """If the pointer is not over the picture, keys zoom around its middle."""
    picture = opened(shown)
    shown.mouse.move(2, 2)
    box = picture.bounding_box()
    for _ in range(3):
        shown.keyboard.press("+")
    expect(shown.locator(".level")).to_have_text("2.7×")
    assert point(picture, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) == (0.5, 0.5)


def test_a_pinch_on_a_trackpad_zooms_the_picture_and_not_the_page(shown: Any) -> None:
    """Browsers report a pinch as a wheel with Ctrl; a picture takes it, so that the page keeps its size."""
    shown.evaluate("""() => { window.seen = [];
        addEventListener("wheel", (event) => seen.push([event.ctrlKey, event.defaultPrevented])); }""")
    shown.locator(".tile").first.hover()
    shown.keyboard.down("Control")
    shown.mouse.wheel(0, -100)
    expect(shown.get_by_label("Tiles")).to_have_value("large")
    shown.keyboard.up("Control")
    picture = opened(shown)
    picture.hover()
    shown.keyboard.down("Control")
    shown.mouse.wheel(0, -10)
    shown.keyboard.up("Control")
    expect(shown.locator(".level")).to_have_text("1.1×")
    assert shown.evaluate("seen") == [[True, True], [True, True]]


def test_two_fingers_zoom_around_the_point_between_them(shown: Any) -> None:
    """On a touch screen two fingers that part zoom the picture."""
    picture = opened(shown)
    box = picture.bounding_box()
    x, y = box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5
    session = shown.context.new_cdp_session(shown)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def touch(kind: str, apart: float) -> None:
        fingers = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}] if apart else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    touch("touchStart", 40)
    for apart in (50, 60, 70, 80):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    expect(shown.locator(".level")).to_have_text("2.0×")
    assert point(picture, x, y) == (0.4, 0.5)


def test_a_drag_moves_and_a_double_click_toggles(shown: Any) -> None:
    """A double click shows the actual pixels, a drag moves them, another double click shows the whole image."""
    picture = opened(shown)
    box = picture.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    shown.mouse.dblclick(x, y)
    expect(shown.locator(".level")).to_contain_text("actual pixels" if box["width"] < 664 else "2.0×")
    before = picture.bounding_box()
    shown.mouse.move(x, y)
    shown.mouse.down()
    shown.mouse.move(x - 60, y - 20, steps=3)
    shown.mouse.up()
    after = picture.bounding_box()
    assert (round(before["x"] - after["x"]), round(before["y"] - after["y"])) == (60, 20)
    shown.mouse.dblclick(x, y)
    expect(shown.locator(".level")).to_have_text("")


def test_the_zoom_stays_from_image_to_image(shown: Any) -> None:
    """The next image shows the same part at the same scale; an image that is opened anew shows all."""
    opened(shown)
    for _ in range(3):
        shown.keyboard.press("+")
    shown.keyboard.press("Shift+ArrowRight")
    shown.keyboard.press("ArrowRight")
    expect(shown.locator(".detail h2")).to_contain_text("seed=2")
    expect(shown.locator(".level")).to_have_text("2.7×")
    shown.keyboard.press("Escape")
    shown.keyboard.press("Enter")
    expect(shown.locator(".detail .level")).to_have_text("")


# --- captions ---


def captions(page: Any) -> list[str]:
    found: list[str] = page.locator(".tile .values").all_inner_texts()
    return found


def test_captions_say_what_differs(shown: Any) -> None:
    """Captions show the values that differ, seeds and ratios included; what all share is said once above."""
    expect(shown.locator(".shared")).to_have_text("All 12 cells: pets/dog · qwen-image-plus")
    assert captions(shown)[:2] == ["calm · 1:1 · seed 1", "calm · 1:1 · seed 2"]
    title = shown.locator(".tile .values").nth(3).get_attribute("title")
    assert title == "pets/dog[mood=calm,seed=1,size=1664x928]\n1664 × 928 pixels"
    shown.get_by_label("Filter by name or prompt").fill("wild seed=3")
    expect(shown.locator(".shared")).to_have_text("All 2 cells: pets/dog · wild · seed 3 · qwen-image-plus")
    assert captions(shown) == ["1:1", "16:9"]


SIZES = """
[image.icon]
prompt = "an icon"
size = "1:1"
matrix.seed = [1, 2]
[image.wide]
prompt = "a banner"
matrix.seed = [1, 2]
"""


def test_a_heading_says_what_its_cells_share(project: Workspace, page: Any) -> None:
    """Values that the cells below one heading share stand beside it, not below each picture."""
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/a.toml": SIZES})
    page.goto(load(project.root).report().index.as_uri())
    expect(page.get_by_role("rowheader")).to_have_text(["a/icon2", "a/wide2"])
    expect(page.locator(".common")).to_have_text(["1:1", "16:9"])
    assert captions(page) == ["seed 1", "seed 2", "seed 1", "seed 2"]
    page.get_by_label("Rows", exact=True).select_option("size")
    page.get_by_label("Columns").select_option("seed")
    expect(page.get_by_role("rowheader")).to_have_text(["1:12", "16:92"])
    expect(page.get_by_role("columnheader")).to_have_text(["seed 1", "seed 2"])
    expect(page.locator(".common")).to_have_text(["a/icon", "a/wide"])


def test_drafts_are_called_drafts_once(project: Workspace, page: Any) -> None:
    """If all images are drafts, the line above says so, and no tile does."""
    project.write(
        {"qwenbuild.toml": 'provider = "draft"', "specs/a.toml": '[image.a]\nprompt = "a"\nmatrix.seed = [1, 2]\n'}
    )
    built(project)
    page.goto(load(project.root).report().index.as_uri())
    expect(page.locator(".shared")).to_have_text("All 2 cells: a/a · qwen-image-plus · 16:9 · drafts")
    expect(page.locator(".tile .badge")).to_have_count(0)
    assert captions(page) == ["seed 1", "seed 2"]


def test_prices_that_are_equal_are_said_once(project: Workspace, page: Any) -> None:
    """Cells that all have to be rendered say so above, with the price of each."""
    config = 'provider = "dashscope"\n'
    project.write({"qwenbuild.toml": config, "specs/a.toml": '[image.a]\nprompt = "a"\nmatrix.seed = [1, 2]\n'})
    page.goto(load(project.root).report().index.as_uri())
    expect(page.locator(".shared")).to_have_text(re.compile(r"16:9 · 0\.\d\d CNY each$"))
    expect(page.locator(".tile .standing")).to_have_count(0)


# --- two images in one frame ---


def test_blink_toggles_and_a_held_key_shows_the_other_for_a_moment(shown: Any) -> None:
    """Each press of b shows the other image. While b is held the other is shown, and then the first again."""
    dialog = compared(shown, 0, 1)
    which = dialog.locator(".which")
    shown.keyboard.press("b")
    expect(which).to_have_text("1 · seed 1")
    shown.keyboard.press("b")
    expect(which).to_have_text("2 · seed 2")
    shown.keyboard.down("b")
    expect(which).to_have_text("1 · seed 1")
    shown.keyboard.down("b")  # the keyboard repeats a held key
    shown.keyboard.up("b")
    expect(which).to_have_text("2 · seed 2")
    dialog.get_by_role("button", name="Show the other").click()
    expect(which).to_have_text("1 · seed 1")


def test_numbers_choose_the_two_images(shown: Any) -> None:
    """Of three or four images, the two that were looked at last are in the frame."""
    dialog = compared(shown, 0, 1, 2)
    for key in ("3", "2", "b"):
        shown.keyboard.press(key)
    expect(dialog.locator(".which")).to_have_text("2 · seed 2")
    shown.keyboard.press("b")
    expect(dialog.locator(".which")).to_have_text("3 · seed 3")
    shown.keyboard.press("1")
    expect(dialog.locator(".which")).to_have_text("1 · seed 1")
    shown.keyboard.press("b")
    expect(dialog.locator(".which")).to_have_text("3 · seed 3")


def test_overlay_and_zoom_by_keys_alone(shown: Any) -> None:
    """The slider of the overlay sets the opacity of the second image; the zoom stays between the ways to compare."""
    dialog = compared(shown, 0, 1)
    shown.keyboard.press("+")
    shown.keyboard.press("o")
    slider = dialog.get_by_role("slider", name="Opacity")
    expect(dialog.locator(".level")).to_have_text("1.4×")
    slider.focus()
    shown.keyboard.press("End")
    expect(dialog.locator(".layer.after")).to_have_css("opacity", "1")
    shown.keyboard.press("Home")
    expect(dialog.locator(".layer.after")).to_have_css("opacity", "0")
    expect(slider).to_have_attribute("aria-valuetext", "0% 2 · seed 2")


def test_the_difference_is_that_of_the_pixels(shown: Any) -> None:
    """The difference view says how many pixels differ and by how much, and the slider amplifies it."""
    dialog = compared(shown, 0, 1)
    shown.keyboard.press("m")
    expect(dialog.locator(".found")).to_contain_text("of the pixels differ")  # both images are there
    colours = shown.evaluate("""() => [...document.querySelectorAll(".compare .layer img")].map((image) => {
        const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    })""")
    expected = [abs(a - b) for a, b in zip(*colours, strict=True)]
    expect(dialog.locator(".found")).to_have_text(f"100.0% of the pixels differ, by at most {max(expected)} of 255.")
    drawn = shown.evaluate(
        "[...document.querySelector('.compare canvas').getContext('2d').getImageData(9, 9, 1, 1).data]"
    )
    assert drawn == [*expected, 255]
    dialog.get_by_role("slider", name="Amplification").fill("16")
    expect(dialog.locator("canvas")).to_have_css("filter", "brightness(16)")


def test_images_of_different_sizes_are_scaled_and_that_is_said(shown: Any) -> None:
    """The second image is scaled to fit the first, and the page says so."""
    dialog = compared(shown, 0, 3)
    shown.keyboard.press("m")
    expect(dialog.locator(".scaled")).to_have_text(
        "The second image has 1664 × 928 pixels; it is scaled to fit the first."
    )


def test_the_difference_from_disk(project: Workspace, page: Any) -> None:
    """A report from the disk shows the difference, although the browser lets it read no pixels."""
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/pets.toml": SPEC})
    built(project)
    page.goto(load(project.root).report().index.as_uri())
    dialog = compared(page, 0, 1)
    page.keyboard.press("m")
    expect(dialog.locator("canvas")).to_have_js_property("width", 1328)
    expect(dialog.locator(".layer", has=page.locator("canvas"))).to_have_css("opacity", "1")
    expect(dialog.locator(".found")).to_have_text("")


def test_an_earlier_image_blinks_with_the_present_one(running: Running, shown: Any) -> None:
    """In the detail view b shows the earlier image, then the present one again."""
    again(running, shown)
    opened(shown)
    shown.keyboard.press("b")
    expect(shown.locator(".which")).to_have_text("before")
    shown.keyboard.press("b")
    expect(shown.locator(".which")).to_have_text("after")
    expect(shown.get_by_role("button", name="Compare with the image of")).to_have_attribute("aria-pressed", "true")


def test_stars_in_the_comparison_and_in_the_detail_view(shown: Any) -> None:
    """A star can be set while looking: by f for the image that is looked at, and by its button."""
    dialog = compared(shown, 0, 1)
    shown.keyboard.press("2")
    shown.keyboard.press("f")
    stars = dialog.locator(".star-button")
    expect(stars.nth(1)).to_have_attribute("aria-pressed", "true")
    stars.nth(0).click()
    expect(stars.nth(0)).to_have_attribute("aria-pressed", "true")
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile .star")).to_have_count(2)
    opened(shown, 2)
    shown.keyboard.press("f")
    expect(shown.get_by_role("button", name="★ Starred")).to_be_visible()
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile .star")).to_have_count(3)
