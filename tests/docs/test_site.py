"""The site of the documentation: Sphinx reads all pages without a warning, and its pages need no other host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .pages import REPOSITORY, links, pages

DOCS = REPOSITORY / "docs"
LOADED = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
OF_STYLES = re.compile(r"@import\s+[\"']([^\"']+)|url\([\"']?([^\"')]+)")
ADDRESS = re.compile(r"(?:https?:)?//")


def sphinx(builder: str, source: Path, out: Path) -> None:
    """Run Sphinx with the configuration of docs/, as strictly as it can."""
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", DOCS, "-d", f"{out}.cache",
         "-b", builder, source, out],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)


def test_the_strict_build(tmp_path: Path) -> None:
    """Sphinx finds each link and anchor, and each page in the contents. It writes no page: that takes twice as long."""
    sphinx("dummy", DOCS, tmp_path / "site")


def test_pages_load_nothing_from_other_hosts(tmp_path: Path) -> None:
    """Neither the look of a page nor a picture comes from another host."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# A page\n\n```console\n$ qwenbuild\n```\n", "utf-8")
    sphinx("html", tmp_path / "docs", tmp_path / "site")
    loaded = set(LOADED.findall((tmp_path / "site/index.html").read_text("utf-8")))
    assert len(loaded) > 3
    for path in (tmp_path / "site").rglob("*.css"):
        loaded |= {to for pair in OF_STYLES.findall(path.read_text("utf-8")) for to in pair}
    assert [to for to in loaded if ADDRESS.match(to)] == []
    suffixes = (".png", ".webp", ".svg", ".gif", ".jpg")
    assert [to for page in pages() for _, to in links(page) if ADDRESS.match(to) and to.endswith(suffixes)] == []
