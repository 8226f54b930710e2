"""The lettering of a contact sheet: how wide a label is, where it breaks, and small fonts with just its characters.

A font is cut down to the characters of the sheet, in one weight. So a PDF holds some kilobytes of fonts, and painting
loads no font of many megabytes. HarfBuzz joins and turns the letters of scripts that need it, in PNG and PDF alike.
Characters that no font has are drawn as a box; `missing` has them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qwenbuild.files import fonts

if TYPE_CHECKING:
    from PIL.Image import Image
    from uharfbuzz import Buffer, Face, Font

_WEIGHT = 400.0
_BOX = "\u25a1"
_CUT = "…"
_FEATURES = {"kern": False, "liga": False}  # without them, plain text in a PDF stays one piece that can be searched
_SPACING = " ,.-()/"
_UNDRAWN = frozenset({"Cc", "Cf", "Cs", "Mn"})  # Unicode categories: controls, joiners, marks on a letter
_BREAKS = re.compile(r"[^\s,;/=_-]*[\s,;/=_-]*")


class Lettering:
    """The fonts for some texts. `fonts` are the bytes of TrueType fonts; `missing` are characters without a glyph."""

    def __init__(self, texts: Iterable[str], paths: Sequence[Path] | None = None) -> None:
        wanted = {_CUT, _BOX, *_SPACING}.union(*texts)
        self._font: dict[str, int] = {}
        self._ems: dict[tuple[int, str], float] = {}
        self._shapers: list[Font] = []
        self.fonts: list[bytes] = []
        for path in fonts.paths() if paths is None else paths:
            if left := sorted(wanted - self._font.keys()):
                self._add(path, left)
        self.missing = sorted(char for char in wanted - self._font.keys() if _is_drawn(char))

    def _add(self, path: Path, chars: Collection[str]) -> None:
        import uharfbuzz

        face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(path)))
        glyphs = face.unicodes
        if found := [char for char in chars if ord(char) in glyphs]:
            small = _cut_down(face, {*map(ord, found), *map(ord, _SPACING)})
            self._font |= dict.fromkeys(found, len(self.fonts))
            self.fonts.append(small.blob.data)
            self._shapers.append(uharfbuzz.Font(small))

    def runs(self, text: str) -> list[tuple[int, str, float]]:
        """Return the parts of a line that stand in one font: (the font's number, the text, its width in ems)."""
        found: list[tuple[int, str]] = []
        for char in text:
            font = self._font.get(char)
            if font is None:
                font, char = (self._font[_BOX], _BOX) if _is_drawn(char) else (found[-1][0] if found else 0, char)
            elif found and not char.isalnum() and self._has(found[-1][0], char):
                font = found[-1][0]  # a mark stays with its letter, a space does not part words from right to left
            if found and found[-1][0] == font:
                found[-1] = (font, found[-1][1] + char)
            else:
                found.append((font, char))
        return [(font, run, self._width(font, run)) for font, run in found]

    def ems(self, text: str) -> float:
        """Return the width of a line in ems."""
        return sum(width for _, _, width in self.runs(text))

    def ink(self, font: int, run: str, px: int) -> tuple[Image, int, int] | None:
        """Return a run as a mask, with its left edge and its top from the run's start and baseline; None if blank."""
        import uharfbuzz
        from PIL import Image

        buffer, pen = self._shaped(font, run), uharfbuzz.RasterDraw()
        part = self._shapers[font].face.upem / px
        pen.scale_factor = (part, part)
        x = 0
        for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            pen.transform = (1, 0, 0, 1, x + place.x_offset, place.y_offset)
            pen.draw_glyph(self._shapers[font], info.codepoint)
            x += place.x_advance
        drawn = pen.render()
        if drawn is None or not drawn.extents or not drawn.extents.width:
            return None
        box = drawn.extents
        ink = Image.frombytes("L", (box.width, box.height), drawn.buffer, "raw", "L", box.stride, -1)  # rows go upwards
        return ink, box.x_origin, -(box.y_origin + box.height)

    def is_plain(self, font: int, run: str) -> bool:
        """Return whether a run is its characters' own glyphs from left to right, so that it needs no shaping."""
        buffer, shaper = self._shaped(font, run), self._shapers[font]
        own = [shaper.get_nominal_glyph(ord(char)) for char in run]
        moved = any(it.x_offset or it.y_offset for it in buffer.glyph_positions)
        return own == [info.codepoint for info in buffer.glyph_infos] and not moved

    def _has(self, font: int, char: str) -> bool:
        return self._shapers[font].get_nominal_glyph(ord(char)) is not None

    def _width(self, font: int, run: str) -> float:
        """Return the width of a run in ems."""
        if (font, run) not in self._ems:
            advance = sum(place.x_advance for place in self._shaped(font, run).glyph_positions)
            self._ems[font, run] = advance / self._shapers[font].face.upem
        return self._ems[font, run]

    def _shaped(self, font: int, run: str) -> Buffer:
        import uharfbuzz

        buffer = uharfbuzz.Buffer()
        buffer.add_str(run)
        buffer.guess_segment_properties()
        uharfbuzz.shape(self._shapers[font], buffer, _FEATURES)
        return buffer

    def lines(self, text: str, most_ems: float, most_lines: int) -> list[str]:
        """Return a text as lines of at most `most_ems`; if they are too many, the text is shortened in the middle."""
        lines = list(self._broken(text, most_ems))
        low, high = 0, len(text)
        if len(lines) <= most_lines:
            return lines
        while low < high:  # the most characters that fit
            middle = (low + high + 1) // 2
            if len(list(self._broken(_shortened(text, middle), most_ems))) <= most_lines:
                low = middle
            else:
                high = middle - 1
        return list(self._broken(_shortened(text, low), most_ems))[:most_lines]

    def _broken(self, text: str, most_ems: float) -> Iterator[str]:
        """Yield lines, broken after words if possible."""
        line = ""
        for part in filter(None, _BREAKS.findall(text)):
            if self.ems((line + part).rstrip()) <= most_ems:
                line += part
                continue
            if line and (self.ems(part.rstrip()) <= most_ems):
                yield line.rstrip()
                line = part
                continue
            for char in part:  # a word that is wider than a line, or a script without spaces
                if line and self.ems(line + char) > most_ems:
                    yield line.rstrip()
                    line = ""
                line += char
        if line.strip():
            yield line.rstrip()


def _is_drawn(char: str) -> bool:
    return unicodedata.category(char) not in _UNDRAWN


def _shortened(text: str, most: int) -> str:
    """Return the first and the last characters of a text, `most` of them, with a mark between."""
    head = (most + 1) // 2
    return f"{text[:head]}{_CUT}{text[len(text) - most // 2 :]}" if most < len(text) else text


def _cut_down(face: Face, glyphs: Collection[int]) -> Face:
    """Return a variable font with the glyphs of some characters only, in one weight."""
    import uharfbuzz

    asked = uharfbuzz.SubsetInput()
    asked.unicode_set.set(glyphs)
    asked.pin_axis_location(face, "wght", _WEIGHT)
    asked.flags |= uharfbuzz.SubsetFlags.NO_HINTING
    if ord("一") in face.unicodes:  # its letters need no shaping, and its rules for Latin digits would demand one
        asked.layout_feature_tag_set.clear()
    return uharfbuzz.subset(face, asked)
