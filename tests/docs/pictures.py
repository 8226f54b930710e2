"""Makes the pictures of the documentation: `python -m tests.docs.pictures` writes docs/assets/.

The pages are those of real projects, in light and dark; the animated terminal is made by `demo`.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from . import demo
from .pages import REPOSITORY, block_of
from .recorder import Recorder

ASSETS = REPOSITORY / "docs/assets"
TUTORIAL = "docs/tutorial.md"
FILES = ("data/copy.csv", "templates/poster.j2", "specs/poster.toml")
"""The files of the tutorial's own poster."""


def environ(home: Path) -> dict[str, str]:
    """Return an environment without the user's settings, in which `qwenbuild` is that of this Python."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "HOME": str(home), "PATH": path, "LC_ALL": "C.UTF-8"}


def run(line: str, place: Path) -> None:
    """Run a line of a shell in a project."""
    subprocess.run(["bash", "-e", "-c", line], cwd=place, env=environ(place.parent), check=True, capture_output=True)


def tutorial_project(home: Path) -> Path:
    """Make the project of the tutorial before its first edit, and return its folder."""
    run("qwenbuild init tea", home)
    for name in FILES:
        (home / "tea" / name).parent.mkdir(exist_ok=True)
        (home / "tea" / name).write_text(block_of(name, TUTORIAL).text, "utf-8")
    return home / "tea"


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a headless Chromium: that of `QWENBUILD_BROWSER`, or of the distribution."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("QWENBUILD_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def shoot(browser: Any, address: str, name: str, size: tuple[int, int]) -> None:
    """Write pictures of a page in light and dark, once all of its images are there."""
    for scheme in ("light", "dark"):
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        page.goto(address)
        page.wait_for_function(
            "(all => all.length && all.every(each => each.complete && each.naturalWidth))"
            "([...document.querySelectorAll('.tile img')])"
        )
        page.wait_for_timeout(500)  # what fades in is there
        save(Image.open(io.BytesIO(page.screenshot())), f"{name}-{scheme}")
        context.close()


def save(image: Image.Image, name: str) -> None:
    """Write a picture as a small WebP."""
    image.convert("RGB").save(ASSETS / f"{name}.webp", quality=72, method=6)


def posters(browser: Any, home: Path) -> None:
    """The page of a report about this repository's posters, as drafts."""
    place = home / "qwenbuild"
    for name in ("specs", "templates"):
        shutil.copytree(REPOSITORY / name, place / name)
    shutil.copy(REPOSITORY / "qwenbuild.toml", place)
    run("qwenbuild build puppies/poster -w seed=1 && qwenbuild report puppies/poster -w seed=1 -o report", place)
    shoot(browser, f"{(place / 'report/index.html').as_uri()}#rows=copy&cols=size", "page", (1280, 860))


def watch(browser: Any, home: Path) -> None:
    """The page of `watch` as the tutorial shows it."""
    place = tutorial_project(home)
    watched = Recorder(["qwenbuild", "watch", "-w", "size=1:1"], place, environ(home), (100, 30))
    try:
        watched.until(r".*4 up to date\n.*page .*")
        address = re.search(r"http\S+", watched.text)
        assert address
        shoot(browser, address[0], "tutorial", (960, 470))
    finally:
        watched.close()


def sheet(_browser: Any, home: Path) -> None:
    """The contact sheet of the tutorial."""
    place = tutorial_project(home)
    run("qwenbuild build -q -w palette=orange", place)
    run("qwenbuild sheet -w palette=orange --rows copy --columns size -o sheet.png", place)
    image = Image.open(place / "sheet.png")
    image.thumbnail((1100, 1100))
    save(image, "tutorial-sheet")


def terminal(_browser: Any, home: Path) -> None:
    """The animated terminal of the README."""
    (ASSETS / "demo.svg").write_text(demo.svg(demo.recorded(home, environ(home))), "utf-8", newline="\n")


PICTURES = {"page": posters, "tutorial": watch, "sheet": sheet, "demo": terminal}


def main(names: list[str]) -> None:
    """Make these pictures, or all."""
    ASSETS.mkdir(exist_ok=True)
    with chromium() as browser:
        for name in names or PICTURES:
            with tempfile.TemporaryDirectory() as folder:
                PICTURES[name](browser, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
