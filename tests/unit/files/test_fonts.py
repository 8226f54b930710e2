"""The fonts that are installed with qwenbuild."""

from __future__ import annotations

from qwenbuild.files import fonts


def test_all_fonts_are_there() -> None:
    """Each path is a TrueType font; that for Latin letters comes before that for Chinese ones."""
    paths = fonts.paths()
    assert [path.name for path in paths[:2]] == ["NotoSans[wght].ttf", "NotoSansSC[wght].ttf"]
    assert {path.read_bytes()[:4] for path in paths} == {b"\0\1\0\0"}
    assert len({path.name for path in paths}) == len(paths) > 20
