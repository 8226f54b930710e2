"""Likeness: whether two machines make the same bytes, by the versions of qwenbuild and Pillow and by the fonts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from qwenbuild.files import fonts
from qwenbuild.version import __version__


@cache
def here() -> Mapping[str, str]:
    """Return what the bytes of images depend on, by name, on this machine: `qwenbuild`, `Pillow` and `fonts`."""
    try:
        pillow = metadata.version("pillow")
    except metadata.PackageNotFoundError:
        pillow = "none"
    return {"qwenbuild": __version__, "Pillow": pillow, "fonts": _fonts()}


def differences(mine: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return how another machine differs from this one, a line for each name."""
    return [
        f"{name}: {mine.get(name, 'none')} here, {theirs.get(name, 'none')} there"
        for name in dict.fromkeys((*mine, *theirs))
        if mine.get(name) != theirs.get(name)
    ]


def _fonts() -> str:
    """Return the versions of the packages of fonts, and the beginning of a digest of the files."""
    digest = hashlib.sha256()
    try:
        for path in fonts.paths():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        versions = [metadata.version(package.replace("_", "-")) for package in (fonts.CJK, fonts.OTHERS)]
    except (ImportError, OSError):
        return "none"
    return f"{' and '.join(versions)}, files {digest.hexdigest()[:12]}"
