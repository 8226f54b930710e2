"""Links of the documentation: files, anchors and images exist; no page stands alone."""

from __future__ import annotations

import re
from pathlib import Path

from .pages import REPOSITORY, anchors, links, pages, shown

WEB = re.compile(r"https?://|mailto:")


def test_each_link_leads_somewhere() -> None:
    """Each relative link names a file or folder of the repository, and an anchor that its page has."""
    wrong = []
    for page in pages():
        for line, target in links(page):
            if WEB.match(target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            is_known = file.exists() and (not anchor or (file.suffix == ".md" and anchor in anchors(file)))
            if not is_known or not file.is_relative_to(REPOSITORY):
                wrong.append(f"{shown(page)}:{line}: {target}")
    assert wrong == []


def test_links_to_the_web_are_encrypted() -> None:
    """Each address of the web begins with https."""
    assert [f"{shown(page)}: {to}" for page in pages() for _, to in links(page) if to.startswith("http:")] == []


def test_each_page_is_reached_from_the_readme() -> None:
    """Whoever follows links from the README finds each page."""
    found, left = {REPOSITORY / "README.md"}, [REPOSITORY / "README.md"]
    while left:
        page = left.pop()
        for _, target in links(page):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.suffix == ".md" and file.is_file() and file not in found:
                found.add(file)
                left.append(file)
    alone = {*pages()} - found
    assert sorted(map(shown, alone)) == []


def test_images_are_small() -> None:
    """No picture of the documentation takes more than 300 kB."""
    suffixes = {".png", ".webp", ".svg", ".gif", ".jpg"}
    large = [path for path in Path(REPOSITORY / "docs").rglob("*") if path.suffix in suffixes]
    assert [shown(path) for path in large if path.stat().st_size > 300_000] == []
