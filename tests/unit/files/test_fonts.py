"""The fonts that are installed with qwenbuild."""

from __future__ import annotations

from qwenbuild.files import fonts


def test_all_fonts_are_there() -> None:
    """Each path is a TrueType font; the first one is the Chinese one, which has Latin letters, too."""
    paths = fonts.paths()
    assert paths[0].name == "NotoSansSC[wght].ttf"
    assert {path.read_bytes()[:4] for path in paths} == {b"\0\1\0\0"}
    assert len({path.name for path in paths}) == len(paths) > 20
