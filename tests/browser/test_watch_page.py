"""The page of a real `qwenbuild watch` that renders for money, at the emulator."""

from __future__ import annotations

import json
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


@dataclass(frozen=True)
class Watching:
    """A watch in its own process, its project, the emulator that it renders at, and the page's address."""

    sandbox: Sandbox
    service: server.Running
    address: str

    def edit(self, name: str, old: str, new: str) -> None:
        self.sandbox.edit(name, old, new)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    with server.running(replace(QUICK, latency_s=0.2)) as service:
        sandbox = Sandbox(tmp_path / "project", tmp_path / "store", service.environment()).write(FILES)
        process = sandbox.popen("watch", "--json")
        assert process.stdout is not None
        try:
            events = (json.loads(line) for line in process.stdout)
            address = next(event["address"] for event in events if event["event"] == "serving")
            reading = threading.Thread(target=process.communicate)  # a full pipe would block the watch
            reading.start()
            yield Watching(sandbox, service, address)
        finally:
            process.kill()
            reading.join()


@pytest.fixture
def shown(watching: Watching, page: Any) -> Any:
    page.goto(watching.address)
    expect(page.locator(".tile.draft img")).to_have_count(3)
    return page


def test_drafts_and_prices_are_shown_at_once(watching: Watching, shown: Any) -> None:
    """Cells that cost money show drafts and prices; nothing is sent and nothing is written to out/."""
    expect(shown.locator("#counts")).to_have_text("3 cellsall to render3 drafts")
    expect(shown.locator("#run")).to_have_text("1.00 CNY left")
    expect(shown.locator(".tile .price")).to_have_text(["0.22 CNY"] * 3)
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


def test_a_save_shows_drafts_and_the_images_they_replace(watching: Watching, shown: Any) -> None:
    """After an edit the detail view marks the changed words and compares the draft with the image."""
    shown.get_by_role("button", name="Render 3").click()
    shown.get_by_role("button", name="Render for 0.66 CNY").click()
    expect(shown.locator(".tile.image")).to_have_count(3)
    watching.edit("templates/poster.j2", "ball", "kite")
    expect(shown.locator(".tile.draft")).to_have_count(3)
    shown.locator(".tile").first.click()
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
