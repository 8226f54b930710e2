"""The configuration of Sphinx: `python -m sphinx -W --keep-going -b html docs build/docs` builds the pages.

Sphinx with MyST reads Markdown as GitHub does, so the same files serve both. Every warning is an error: links, anchors
and pages that do not exist, and pages that nothing names. No page loads anything from another host.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

_version = re.search(r'__version__ = "(.+)"', (Path(__file__).parents[1] / "qwenbuild/version.py").read_text("utf-8"))

project = "qwenbuild"
author = "The qwenbuild authors"
copyright = author  # noqa: A001  # Sphinx's name
release = _version[1] if _version else ""

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["README.md"]  # `index.md` includes it, below the README of the repository
myst_heading_anchors = 4
nitpicky = True

smartquotes = False  # quotes are part of commands

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = f"qwenbuild {release}"
html_copy_source = False
html_show_sphinx = False

_LINK = re.compile(r"\]\(((?:\.\./)+[^)#\s]+\.md)(?:#[^)\s]*)?\)")


_PICTURE = re.compile(r'<picture>\s*<source [^>]*srcset="([^"]+)">\s*<img alt="([^"]+)" src="([^"]+)">\s*</picture>')
_IMAGES = """
```{{image}} {2}
:alt: {1}
:class: only-light
```
```{{image}} {0}
:alt: {1}
:class: only-dark
```
"""


def _with_pictures(_app: Sphinx, _docname: str, source: list[str]) -> None:
    """Make Furo's images for light and dark of what GitHub reads as one picture; the first page is `index` here."""
    source[0] = _PICTURE.sub(lambda found: _IMAGES.format(*found.groups()), source[0])
    source[0] = source[0].replace("](README.md)", "](index.md)")


def _with_downloads(app: Sphinx, docname: str, source: list[str]) -> None:
    """Make downloads of the links to pages of the repository that lie outside of docs/."""
    folder = Path(app.srcdir, docname).parent

    def linked(found: re.Match[str]) -> str:
        is_inside = (folder / found[1]).resolve().is_relative_to(app.srcdir)
        return found[0] if is_inside else f"](<path:{found[1]}>)"

    source[0] = _LINK.sub(linked, source[0])


def _with_included(app: Sphinx, path: Path, docname: str, source: list[str]) -> None:
    """Make the links of both README.md those of the first page; see the two functions above."""
    if path == Path("../README.md"):
        text = source[0].replace("](docs/README.md)", "](#documentation)")
        text = re.sub(r'(\]\(|srcset="|src=")docs/', r"\1", text)
        source[0] = re.sub(r"\]\((specs/[^)]+)\)", r"](<path:../\1>)", text)
        _with_pictures(app, docname, source)
    else:
        source[0] = source[0].replace("](../README.md)", "](#qwenbuild)")
        _with_downloads(app, docname, source)


def setup(app: Sphinx) -> None:
    """Connect the events of Sphinx."""
    app.connect("source-read", _with_pictures)
    app.connect("source-read", _with_downloads)
    app.connect("include-read", _with_included)
