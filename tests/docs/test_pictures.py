"""The pictures of the documentation: each is used, and the animated terminal shows what the commands print."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from PIL import Image

from . import demo
from .pages import pages, read, shown
from .pictures import ASSETS, PICTURES, environ

TIME = re.compile(r"in [\d.]+ s")
OF_HTML = re.compile(r'<(?:img|source)\b[^>]*\b(?:src|srcset)="([^"]+)"')
ALT = re.compile(r"<img\b(?![^>]*\balt=\"[^\"]+\")[^>]*>")


def test_each_picture_is_used_and_each_that_is_used_exists() -> None:
    """Pages name all files of docs/assets/, and no others; each picture of HTML has a text in its place."""
    used = {(page.parent / to).resolve() for page in pages() for to in OF_HTML.findall(read(page))}
    used |= {
        (page.parent / to).resolve() for page in pages() for to in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", read(page))
    }
    assert sorted(map(shown, used)) == sorted(shown(path) for path in ASSETS.iterdir())
    assert [shown(page) for page in pages() if ALT.search(read(page))] == []


def test_pages_are_shown_in_light_and_dark() -> None:
    """Both pictures of a page have one size, and differ in brightness."""
    for light in ASSETS.glob("*-light.webp"):
        dark = light.with_name(light.name.replace("-light", "-dark"))
        both = [Image.open(path).convert("L") for path in (light, dark)]
        corners = [image.getpixel((3, image.height - 3)) for image in both]
        assert both[0].size == both[1].size
        assert corners[0] > 200 > 60 > corners[1], light.name  # type: ignore[operator]


def test_all_pictures_are_made_by_the_script() -> None:
    """Each file begins with a name that the script knows."""
    assert {re.split(r"[-.]", path.name)[0] for path in ASSETS.iterdir()} == {"page", "tutorial", "demo"} <= {*PICTURES}


def test_the_animated_terminal(tmp_path: Path) -> None:
    """It is a valid SVG that loads nothing, and its last frame is what the commands print today, but for the times."""
    drawing = (ASSETS / "demo.svg").read_text("utf-8")
    ElementTree.fromstring(drawing)
    assert re.findall(r"https?:(?!//www\.w3\.org/2000/svg)|<script|<image|url\(", drawing) == []
    frames = demo.recorded(tmp_path, environ(tmp_path))
    now = compact(frames[-1].text.splitlines())
    assert compact(demo.text_of(drawing)) == now, "`python -m tests.docs.pictures demo` makes it anew"
    assert "".join(now).count("$ qwenbuild build") == 2


def compact(lines: list[str]) -> list[str]:
    """Return lines without times, and without the space between columns; blank ones are left out."""
    return [text for line in lines if (text := re.sub(r" {2,}", "", TIME.sub("", line)).strip())]
