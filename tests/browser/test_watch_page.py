"""The page of a real `qwenbuild watch` that renders for money, at the emulator."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from qwenbuild.emulator import server
from tests.e2e.harness import Sandbox
from tests.support.emulated import QUICK

FILES = {
    "qwenbuild.toml": '[budget]\nmax_cost = 1\n[providers.dashscope]\nsubmits = "1000/second"\n',
    "specs/a.toml": '[image.poster]\ntemplate = "poster.j2"\nmatrix.colour = ["red", "blue", "gold"]\n',
    "templates/poster.j2": "a {{ colour }} ball <img src=x onerror=alert(1)>",
}


@dataclass
class Watching:
    """A watch in its own process, its project, the emulator that it renders at, and the page's address."""

    sandbox: Sandbox
    service: server.Running
    address: str = ""
    process: subprocess.Popen[str] | None = None
    reading: threading.Thread | None = None

    def start(self, *arguments: str) -> None:
        """Start a watch, and wait until it serves its page."""
        process = self.process = self.sandbox.popen("watch", "--json", *arguments)
        assert process.stdout is not None
        events = (json.loads(line) for line in process.stdout)
        self.address = next(event["address"] for event in events if event["event"] == "serving")
        self.reading = threading.Thread(target=process.communicate)  # a full pipe would block the watch
        self.reading.start()

    def stop(self) -> None:
        """End the watch as a crash does."""
        if self.process:
            self.process.kill()
        if self.reading:
            self.reading.join()

    def edit(self, name: str, old: str, new: str) -> None:
        self.sandbox.edit(name, old, new)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    with server.running(replace(QUICK, latency_s=0.2)) as service:
        sandbox = Sandbox(tmp_path / "project", tmp_path / "store", service.environment()).write(FILES)
        watching = Watching(sandbox, service)
        try:
            watching.start()
            yield watching
        finally:
            watching.stop()


@pytest.fixture
def shown(watching: Watching, page: Any) -> Any:
    page.goto(watching.address)
    expect(page.locator(".tile.draft img")).to_have_count(3)
    return page


def test_drafts_and_prices_are_shown_at_once(watching: Watching, shown: Any) -> None:
    """Cells that cost money show drafts and prices; nothing is sent and nothing is written to out/."""
    expect(shown.locator("#counts")).to_have_text("3 cellsall to render3 drafts")
    expect(shown.locator("#run")).to_have_text("1.00 CNY left")
    expect(shown.locator(".shared")).to_contain_text("0.22 CNY each")
    expect(shown.get_by_role("button", name="Render 3 · 0.66 CNY")).to_be_enabled()
    assert watching.service.requests() == []
    assert watching.sandbox.outputs() == {}


def test_a_click_renders_one_image(watching: Watching, shown: Any) -> None:
    """The service bills what the button says; rendering an image again needs a confirmation."""
    shown.locator(".tile").nth(1).click()
    shown.get_by_role("button", name="Render · 0.22 CNY").click()
    expect(shown.locator(".verdict strong")).to_have_text("up to date")
    expect(shown.locator(".facts dl").last).to_contain_text("request id")
    shown.get_by_role("button", name="Re-render · 0.22 CNY").click()
    asked = shown.get_by_role("dialog", name="Re-render this image?")
    expect(asked).to_contain_text("It is up to date. Rendering it again costs 0.22 CNY.")
    shown.keyboard.press("Escape")
    expect(shown.locator("#run")).to_contain_text("spent 0.22 CNY0.78 CNY left")
    shown.get_by_role("button", name="Re-render · 0.22 CNY").click()
    shown.get_by_role("button", name="Re-render for 0.22 CNY").click()
    expect(shown.locator("#run")).to_contain_text("spent 0.44 CNY0.56 CNY left")
    assert [call["operation"] for call in watching.service.requests()].count("sync") == 2
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile.image")).to_have_count(1)
    expect(shown.get_by_role("button", name="Render 2 · 0.44 CNY")).to_be_enabled()


def test_a_save_hides_nothing_that_was_paid_for(watching: Watching, shown: Any) -> None:
    """After an edit the paid images stay. Drafts show below the pointer and with `d`; the detail view compares both."""
    shown.get_by_role("button", name="Render 3").click()
    shown.get_by_role("button", name="Render for 0.66 CNY").click()
    expect(shown.locator(".tile.image")).to_have_count(3)
    paid = shown.locator(".tile img").first.get_attribute("src")
    watching.edit("templates/poster.j2", "ball", "kite")
    expect(shown.locator("#counts")).to_contain_text("3 old images: d shows drafts")
    first = shown.locator(".tile.old img").first
    expect(first).to_have_attribute("src", paid)
    first.hover()
    expect(first).not_to_have_attribute("src", paid)
    shown.locator("#project").hover()
    expect(first).to_have_attribute("src", paid)
    shown.keyboard.press("d")
    expect(shown.locator(".tile.draft")).to_have_count(3)
    shown.keyboard.press("d")
    expect(shown.locator(".tile.old")).to_have_count(3)
    shown.keyboard.press("Home")
    shown.keyboard.press("Enter")
    expect(shown.locator(".verdict .badge")).to_have_text("the image to be replaced is shown")
    shown.keyboard.press("d")
    expect(shown.locator(".verdict .badge")).to_have_text("a draft is shown")
    expect(shown.locator(".diff del")).to_have_text("ball")
    expect(shown.locator(".diff ins")).to_have_text("kite")
    shown.get_by_role("button", name="Compare with the image of").click()
    expect(shown.get_by_role("slider", name="Before and after")).to_be_visible()
    shown.keyboard.press("Escape")
    shown.get_by_role("button", name="Render 3").click()
    expect(shown.get_by_role("dialog")).to_contain_text("0.34 CNY of the budget are left. Rendering stops before")


def test_an_error_in_a_template_and_its_fix(watching: Watching, shown: Any) -> None:
    """The page shows the terminal's code frame; hidden, it stays hidden until the error is another one."""
    watching.edit("templates/poster.j2", "{{ colour }}", "{{ color }}")
    problems = shown.get_by_role("alert")
    expect(problems).to_contain_text('undefined variable "color"')
    expect(problems).to_contain_text("^^^^^")
    expect(shown.locator(".tile")).to_have_count(3)
    problems.get_by_role("button", name="Hide").click()
    expect(problems).to_be_hidden()
    watching.edit("templates/poster.j2", "{{ color }}", "{{ culour }}")
    expect(problems).to_contain_text('undefined variable "culour"')
    watching.edit("templates/poster.j2", "{{ culour }}", "{{ colour }}")
    expect(problems).to_be_hidden()


def test_a_throttled_request_waits(watching: Watching, shown: Any) -> None:
    """A request that is sent again later is no failure: the tile and the detail view say when, and what was said."""
    watching.service.inject("throttle=600:sync:1")
    shown.locator(".tile").first.click()
    shown.get_by_role("button", name="Render · 0.22 CNY").click()
    expect(shown.locator(".verdict.is-waiting strong")).to_contain_text("waiting until ")
    expect(shown.locator(".facts .hint").first).to_contain_text("The service said: ")
    expect(shown.get_by_role("button", name="Waiting…")).to_be_disabled()
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile.is-waiting .standing")).to_contain_text("waiting until ")
    expect(shown.locator("#counts .bad")).to_have_count(0)


def test_what_an_emulator_made_was_not_paid_for(watching: Watching, shown: Any, page: Any) -> None:
    """The page, and the report of the same project, say that prices of an emulator's images were not paid."""
    shown.locator(".tile").nth(1).click()
    shown.get_by_role("button", name="Render · 0.22 CNY").click()
    expect(shown.locator("#run")).to_contain_text("an emulator made 1 image: nothing was paid for it")
    assert watching.sandbox.run("report").code == 0
    page.goto((watching.sandbox.root / ".qwenbuild" / "report" / "index.html").as_uri())
    expect(page.locator("#run")).to_contain_text("an emulator made 1 image: nothing was paid for it")


def test_a_failure_says_why(watching: Watching, shown: Any) -> None:
    """A refused cell shows the service's own words, and nothing is spent."""
    watching.service.inject("moderation:1")
    shown.locator(".tile").first.click()
    shown.get_by_role("button", name="Render · 0.22 CNY").click()
    expect(shown.locator(".verdict strong")).to_have_text("failed")
    expect(shown.locator(".facts .frames")).to_contain_text("DataInspectionFailed")
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile.is-failed .standing")).to_contain_text("failed: ")
    expect(shown.locator("#counts .bad")).to_have_text("1 failed")
    expect(shown.locator("#run")).to_have_text("1.00 CNY left")


def test_the_page_comes_back(watching: Watching, shown: Any, expected: list[str]) -> None:
    """After a restart the page goes on where it was: filter, selection, open image and zoom stay; it can act again."""
    expected += ["net::ERR_", "403 (Forbidden)", "404 (Not Found)"]  # the new watch has no draft of the old prompt
    shown.get_by_label("Filter by name or prompt").fill("ball")
    shown.locator(".tile").first.focus()
    for key in ("Home", "x", "ArrowRight", "x", "Enter", "+"):
        shown.keyboard.press(key)
    expect(shown.locator(".level")).to_have_text("1.4×")
    watching.stop()
    expect(shown.locator("#notice")).to_contain_text("The preview has stopped, and this page shows its last state.")
    watching.edit("templates/poster.j2", "a {{", "one {{")
    before = watching.address
    watching.start()
    assert watching.address == before
    expect(shown.locator("#notice")).to_be_hidden()
    expect(shown.locator(".prompt").first).to_contain_text("one blue ball")
    expect(shown.locator(".level")).to_have_text("1.4×")
    expect(shown.get_by_label("Filter by name or prompt")).to_have_value("ball")
    expect(shown.locator("#tray")).to_contain_text("2 cells")
    shown.get_by_role("button", name="Render · 0.22 CNY").click()
    expect(shown.locator(".verdict strong")).to_have_text("up to date")
    shown.keyboard.press("Escape")
    expect(shown.locator(".tile.image")).to_have_count(1)


def test_a_page_that_was_reloaded_while_the_watch_was_away(watching: Watching, page: Any, expected: list[str]) -> None:
    """The browser keeps the key: an address without it is enough once this browser has opened the page."""
    expected.append("net::ERR_")
    page.goto(watching.address)
    expect(page.get_by_role("button", name="Render 3 · 0.66 CNY")).to_be_enabled()
    watching.stop()
    watching.start()
    page.goto(watching.address.partition("#")[0])
    expect(page.get_by_role("button", name="Render 3 · 0.66 CNY")).to_be_enabled()


def test_another_project_at_the_address_is_not_taken_for_this_one(
    watching: Watching, shown: Any, tmp_path: Path, expected: list[str]
) -> None:
    """The page keeps its last state and says so; after a reload it shows the other project, where it may only look."""
    expected.append("net::ERR_")
    port = watching.address.partition("/#")[0].rpartition(":")[2]
    watching.stop()
    other = Sandbox(tmp_path / "other", tmp_path / "store", watching.service.environment()).write(FILES)
    other.edit("specs/a.toml", "poster]", "flyer]")
    second = Watching(other, watching.service)
    try:
        second.start("--port", port)
        expect(shown.locator("#notice")).to_contain_text("Another project, or another version of qwenbuild, is served")
        expect(shown.locator("#project")).to_have_text("project")
        shown.get_by_role("button", name="Reload").click()
        expect(shown.locator("#project")).to_have_text("other")
        expect(shown.get_by_role("button", name="Render 3 · 0.66 CNY")).to_be_disabled()
    finally:
        second.stop()


def test_the_header_never_offers_what_is_being_rendered(watching: Watching, shown: Any) -> None:
    """While an image is rendered, neither this page, nor after a reload, nor a second page offers to render it."""
    watching.service.inject("throttle=600:sync:1")
    shown.locator(".tile").first.click()
    shown.get_by_role("button", name="Render · 0.22 CNY").click()
    expect(shown.locator(".verdict.is-waiting strong")).to_contain_text("waiting until ")
    shown.keyboard.press("Escape")
    expect(shown.get_by_role("button", name="Render 2 · 0.44 CNY")).to_be_enabled()
    shown.reload()
    expect(shown.get_by_role("button", name="Render 2 · 0.44 CNY")).to_be_enabled()
    second = shown.context.new_page()
    second.goto(watching.address.partition("#")[0])
    expect(second.get_by_role("button", name="Render 2 · 0.44 CNY")).to_be_enabled()
    second.get_by_role("button", name="Render 2 · 0.44 CNY").click()
    second.get_by_role("button", name="Render for 0.44 CNY").click()
    expect(second.get_by_role("button", name="Render", exact=False)).to_have_count(0)
    expect(shown.get_by_role("button", name="Render", exact=False)).to_have_count(0)


def test_stars_and_their_file_follow_each_other(watching: Watching, shown: Any) -> None:
    """An edit of picks.toml shows at once; a mistake in it is shown with its place, and no star is lost."""
    assert watching.sandbox.run("pick", "a/poster[colour=blue]", "--note", "calm").code == 0
    expect(shown.locator(".tile .star")).to_have_count(1)
    watching.edit("picks.toml", "note", "nota")
    problems = shown.get_by_role("alert")
    expect(problems).to_contain_text('unknown key "nota"')
    expect(problems).to_contain_text("picks.toml:6:1")
    expect(shown.locator(".tile .star")).to_have_count(1)
    watching.edit("picks.toml", "nota", "note")
    expect(problems).to_be_hidden()
    shown.keyboard.press("Home")
    shown.keyboard.press("f")
    expect(shown.get_by_role("button", name="2 stars")).to_be_visible()
    while "colour=red" not in (watching.sandbox.root / "picks.toml").read_text():
        shown.wait_for_timeout(20)
    assert 'note = "calm"' in (watching.sandbox.root / "picks.toml").read_text()


def test_the_template_opens_in_the_editor(watching: Watching, page: Any, tmp_path: Path, expected: list[str]) -> None:
    """An editor with a window opens the file at its line; with an editor of the terminal, the place is copied."""
    expected += ["net::ERR_", "403 (Forbidden)"]
    script = tmp_path / "zed"
    script.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/seen\n')
    script.chmod(0o755)
    watching.stop()
    watching.sandbox.extra["EDITOR"] = str(script)
    watching.start()
    page.goto(watching.address)
    expect(page.locator(".tile")).to_have_count(3)
    for key in ("Home", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="Edit template")).to_have_attribute("title", "templates/poster.j2:1")
    page.keyboard.press("e")
    expect(page.locator("#toast")).to_have_text("Opening templates/poster.j2:1")
    while not (tmp_path / "seen").exists():
        page.wait_for_timeout(20)
    assert (tmp_path / "seen").read_text() == f"{watching.sandbox.root}/templates/poster.j2:1"
    watching.stop()
    watching.sandbox.extra["EDITOR"] = "vim"
    watching.start()
    expect(page.locator("#notice")).to_be_hidden()
    page.get_by_role("button", name="Edit spec").click()
    expect(page.locator("#toast")).to_contain_text("Copied specs/a.toml:2")
    assert page.evaluate("navigator.clipboard.readText()") == "specs/a.toml:2"
