"""Output paths: which texts are safe on every operating system, and which paths clash.

A safe path is relative, uses `/`, stays inside the output folder, and ends in `.png`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from .text import nfc

MOST_BYTES = 240
"""The most bytes of a name: every file system takes 255, and names beside an output may be a little longer."""

_DEVICE = r"(?!(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])[./])"
_SAFE_PATH = re.compile(  # accepts most paths quickly: a name of five or more characters is never a device name
    rf"(?:[\w-]{{5,}}/)*[\w-]{{5,}}\.png|(?:{_DEVICE}\w(?:[\w.@+-]*[\w@+-])?/)*{_DEVICE}\w[\w.@+-]*\.png", re.ASCII
)
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]|clock\$) *(?:\..*)?", re.IGNORECASE
)
# Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt, version 16).
_SHOWS_NOTHING = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def path_fault(path: str) -> str | None:
    """Return what is wrong with an output path, or None if it is safe on every system."""
    if len(path) <= MOST_BYTES and _SAFE_PATH.fullmatch(path):
        return None
    if not path:
        return "it is empty"
    if not path.endswith(".png"):
        return 'it must end in ".png"'
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "it must be relative to the output folder"
    if bad := re.search(r"[\x00-\x1f\x7f<>:\"|?*\\]|[^\S ]", path):
        return f"the character {bad[0]!r} can't be part of a path; `| slug` makes a text safe"
    if len(path.encode("utf-8", "surrogatepass")) > 1000:
        return "it is longer than 1,000 bytes"
    for part in path.split("/"):
        shown = part if part.isascii() else _SHOWS_NOTHING.sub("", part)
        if shown in ("", ".", ".."):
            return f'"{part}" can\'t be part of a path'
        if shown == ".png":
            return 'there is no name before ".png"'
        if is_gits(shown):
            return f'"{part}" belongs to git'
        if _RESERVED.fullmatch(shown):
            return f'"{part}" is a reserved name on Windows'
        if part[-1] in ". " or part[0] == " ":
            return f'"{part}" starts with a space, or ends with a space or a dot'
        if len(part.encode("utf-8", "surrogatepass")) > MOST_BYTES:
            return f'"{part[:40]}…" is longer than {MOST_BYTES} bytes; set a shorter `output`'
        if not part.isprintable() and any(unicodedata.category(ch) in ("Cc", "Cs", "Cf") for ch in part):
            return "it contains invisible characters"
    return None


def is_gits(part: str) -> bool:
    """Return whether a part of a path names git's own folder, also by its short name on Windows."""
    return part.casefold() in (".git", "git~1")


def clash_key(path: str) -> str:
    """Return a text that is equal for two paths if some file system treats them as one.

    File systems fold case (NTFS, APFS), the canonical forms of Unicode (APFS), its compatible forms (ZFS with
    `normalization=formKC`: `Ⅷ` is `VIII`), and leave out characters that show nothing (ext4 with `casefold`).
    """
    if path.isascii():
        return path.casefold()
    text = unicodedata.normalize("NFC", path)  # most texts are in this form, which is quickly seen
    while True:
        folded = unicodedata.normalize("NFKC", text.casefold())
        if _SHOWS_NOTHING.search(folded):
            folded = unicodedata.normalize("NFKC", _SHOWS_NOTHING.sub("", folded))
        if folded == text:
            return text
        text = folded


def clash_keys(paths: Sequence[str]) -> Iterator[str]:
    """Yield `clash_key` of each path; no path holds a line break. A thousand at once take a third of the time."""
    for start in range(0, len(paths), 1000):
        yield from clash_key("\n".join(paths[start : start + 1000])).split("\n")


def as_spelled(folder: Path, path: str) -> Path:
    """Return the path below `folder` as its files spell it: names may differ in their form of Unicode.

    A file with the very name is preferred. If there is none with either name, returns the path as it is.
    """
    found = folder / path
    if path.isascii() or os.path.lexists(found):
        return found
    here = folder
    for part in PurePosixPath(path).parts:
        if not (part.isascii() or os.path.lexists(here / part)):
            try:
                part = min((name for name in os.listdir(here) if nfc(name) == nfc(part)), default=part)
            except OSError:
                return found
        here /= part
    return here
