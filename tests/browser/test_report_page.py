"""The report in a real browser, opened from disk."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import expect

from qwenbuild.engine.comparison import report
from qwenbuild.engine.engine import load
from tests.support.watched import built
from tests.support.workspace import Workspace

SWEEP = """
[image.sweep]
prompt = "A {{ animal }}, {{ light }}"
[image.sweep.matrix]
animal = ["cat", "dog", "fox", "owl", "hare", "bear", "wolf", "deer", "lynx", "crow"]
light = ["dawn", "noon", "dusk", "night", "neon"]
seed = { start = 1, count = COUNT }
"""


class Quiet(SimpleHTTPRequestHandler):
    """A plain web server that logs nothing."""

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def written(project: Workspace, count: int, *, build: bool = True) -> str:
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/big.toml": SWEEP.replace("COUNT", str(count))})
    if build:
        built(project)
    return load(project.root).report().index.as_uri()


def test_the_first_of_many_images_show_at_once(project: Workspace, page: Any) -> None:
    """A report of hundreds of images shows the first ones without waiting for the others."""
    page.goto(written(project, 6))
    page.wait_for_function(
        "[...document.querySelectorAll('.tile img')].slice(0, 4).some((image) => image.naturalWidth)"
    )
    expect(page.locator("#run")).to_contain_text("last build: 300 rendered")


def test_details_open_from_disk(project: Workspace, page: Any) -> None:
    """A page from the disk has the same details and arrangements as a preview, but no renders."""
    page.goto(written(project, 1))
    page.locator(".tile").nth(7).click()
    expect(page.get_by_role("dialog").locator(".prompt mark")).to_have_text(["dog", "dusk"])
    expect(page.get_by_role("dialog").locator("dl").last).to_contain_text("null")
    expect(page.get_by_role("button", name="Render")).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_label("Rows", exact=True).select_option("animal")
    expect(page.get_by_role("rowheader").first).to_have_text("cat5")


def test_a_small_report_from_a_web_server(project: Workspace, page: Any) -> None:
    """A small report works below any address of a web server; the detail view shows thumbnails."""
    written(project, 1)
    folder = load(project.root).report(project.root / "page", small=True).index.parent
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_port}/{folder.name}/")
        page.locator(".tile").nth(7).click()
        expect(page.get_by_role("dialog").locator(".prompt mark")).to_have_text(["dog", "dusk"])
        expect(page.locator(".frame img")).to_have_js_property("naturalWidth", 512)
        expect(page.get_by_text("Open file")).to_have_count(0)
        server.shutdown()


@pytest.mark.slow
def test_only_visible_tiles_of_ten_thousand_exist(project: Workspace, page: Any) -> None:
    """While 10,000 cells are scrolled, only the visible tiles have elements."""
    page.goto(written(project, 200, build=False))
    expect(page.locator("#counts")).to_contain_text("10,000 cells")
    most = page.evaluate("""async () => {
        const grid = document.getElementById("grid");
        let most = 0;
        for (let step = 0; step <= 50; step += 1) {
            grid.scrollTop = grid.scrollHeight * step / 50;
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            most = Math.max(most, document.querySelectorAll(".tile").length);
        }
        return most;
    }""")
    assert 10 < most < 120
    page.locator(".tile").last.focus()
    page.keyboard.press("Home")
    expect(page.locator(".tile:focus")).to_have_attribute("data-path", "big/sweep-cat-dawn-1.png")


def test_what_differs_opens_as_a_pair(project: Workspace, page: Any) -> None:
    """A report of differences compares each cell with its image in that build, also in the next cell."""
    spec = '[image.a]\nprompt = "A {{ animal }}"\nmatrix = { animal = ["cat", "dog", "fox"] }\nseed = 1\n'
    project.write({"qwenbuild.toml": 'provider = "null"', "specs/s.toml": spec})
    built(project)
    project.write({"specs/s.toml": spec.replace("A {{", "Two {{").replace('"fox"', '"owl"')})
    built(project)
    page.goto(report(load(project.root), "1").index.as_uri())
    expect(page.locator("#run")).to_contain_text("compared with build 1, which has 1 more")
    page.locator(".tile").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("slider", name="Before and after")).to_be_visible()
    expect(dialog.locator(".earlier button")).to_have_attribute("title", "image of build 1")
    expect(dialog.get_by_role("heading", name="Changed words")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.locator("h2")).to_contain_text("dog")
    expect(dialog.get_by_role("slider", name="Before and after")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.locator("h2")).to_contain_text("owl")
    expect(dialog.get_by_role("slider")).to_have_count(0)
