"""A contact sheet as HTML: one file without scripts, with all images inside, to look at and to print.

The heads of rows and columns stay in sight while the page is scrolled, and each printed page repeats those of columns.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from importlib.resources import files

from .sheet_grid import Grid, Row, Section, Tile
from .sheet_paint import UNREADABLE

_STYLE = files("qwenbuild.pages") / "sheet.css"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(grid: Grid, images: Mapping[str, bytes | None], tile_px: int) -> bytes:
    """Return the page. `images` are WebP, by digest; None: it is unreadable. They are at most `tile_px` long."""
    title = html.escape(grid.title)
    body = "\n".join(_section(section, images) for section in grid.sections)
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ --tile: {tile_px}; }}
{_STYLE.read_text("utf-8")}</style>
</head>
<body>
<h1 dir="auto">{title}</h1>
{body}
</body>
</html>
"""
    return text.encode("utf-8", "replace")


def _section(section: Section, images: Mapping[str, bytes | None]) -> str:
    heading = f'<h2 dir="auto">{html.escape(section.heading)}</h2>\n' if section.heading else ""
    if section.is_flow:
        figures = "\n".join(_figure(tile, images) for tile in section.rows[0].tiles if tile)
        return f'{heading}<div class="flow">\n{figures}\n</div>'
    heads = "".join(f'<th scope="col" dir="auto"><div>{html.escape(text)}</div></th>' for text in section.columns)
    rows = "\n".join(_row(row, images) for row in section.rows)
    return f"{heading}<table>\n<thead><tr><td></td>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _row(row: Row, images: Mapping[str, bytes | None]) -> str:
    cells = "".join(f"<td>{_figure(tile, images) if tile else ''}</td>" for tile in row.tiles)
    return f'<tr><th scope="row" dir="auto"><div>{html.escape(row.label)}</div></th>{cells}</tr>'


def _figure(tile: Tile, images: Mapping[str, bytes | None]) -> str:
    width, height = tile.size
    shape = f'style="--width: {width}; --height: {height}"'
    name, image = html.escape(tile.name), images.get(tile.image)
    if image:
        source = f"data:image/webp;base64,{base64.b64encode(image).decode()}"
        picture = f'<img src="{source}" alt="{name}" title="{name}" {shape}>'
    else:
        note = tile.note if not tile.image else UNREADABLE
        picture = f'<div class="blank" role="img" aria-label="{name}" title="{name}" {shape}>{html.escape(note)}</div>'
    texts = [text for text in (tile.caption, tile.note if image else "") if text]
    caption = f'<figcaption dir="auto">{html.escape(" · ".join(texts))}</figcaption>' if texts else ""
    return f"<figure>{picture}{caption}</figure>"
