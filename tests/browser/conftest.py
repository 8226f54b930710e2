"""A real browser for the tests of the page. Without one, they are left out; the summary says why.

`QWENBUILD_BROWSER` is the path of a Chromium; otherwise one is looked for on the PATH. The headless shell comes first:
it draws no window, and takes half the time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_FOUND = os.environ.get("QWENBUILD_BROWSER") or next((path for name in _NAMES if (path := shutil.which(name))), None)
_MISSING = (
    "playwright is not installed" if find_spec("playwright") is None else "" if _FOUND else "no Chromium is installed"
)
_PATIENCE_MS = 60_000  # each wait ends as soon as its condition holds; a busy machine may take this long


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave these tests out if they can't run."""
    return True if _MISSING and collection_path.name.startswith("test_") else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say why the tests were left out."""
    if _MISSING:
        terminalreporter.write_line(f"tests/browser was left out: {_MISSING} (see .ci/run)", yellow=True)


@pytest.fixture(scope="module")  # while it lasts, no other event loop can run in this thread
def _chromium() -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        arguments = ["--disable-gpu"]  # else a process of its own draws each frame a second time, without a GPU
        arguments += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=_FOUND, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def expected() -> list[str]:
    """Parts of messages that the console may have, such as that of a server that was stopped."""
    return []


@pytest.fixture
def page(_chromium: Any, expected: list[str]) -> Iterator[Any]:
    """A new page. An error or a warning on its console fails the test; so does a violation of its policy."""
    # Animations would keep a processor busy, and show nothing that a test looks at.
    context = _chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_default_timeout(_PATIENCE_MS)
    yield page
    context.close()
    assert [text for text in said if not any(part in text for part in expected)] == []
