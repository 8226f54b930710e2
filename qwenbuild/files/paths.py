"""Output paths: which texts are safe on every operating system, and which paths clash.

A safe path is relative, uses `/`, stays inside the output folder, and ends in `.png`.
"""

from __future__ import annotations

import re
import unicodedata

_DEVICE = r"(?!(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])[./])"
_SAFE_PATH = re.compile(  # accepts most paths quickly: a name of five or more characters is never a device name
    rf"(?:[\w-]{{5,}}/)*[\w-]{{5,}}\.png|(?:{_DEVICE}\w(?:[\w.@+-]*[\w@+-])?/)*{_DEVICE}\w[\w.@+-]*\.png", re.ASCII
)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)


def path_fault(path: str) -> str | None:
    """Return what is wrong with an output path, or None if it is safe on every system."""
    if len(path) < 240 and _SAFE_PATH.fullmatch(path):
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
        if part in ("", ".", ".."):
            return f'"{part}" can\'t be part of a path'
        if part == ".png":
            return 'there is no name before ".png"'
        if _RESERVED.fullmatch(part):
            return f'"{part}" is a reserved name on Windows'
        if part[-1] in ". " or part[0] == " ":
            return f'"{part}" starts with a space, or ends with a space or a dot'
        if len(part.encode("utf-8", "surrogatepass")) > 240:
            return f'"{part[:40]}…" is longer than 240 bytes; set a shorter `output`'
        if not part.isprintable() and any(unicodedata.category(ch) in ("Cc", "Cs", "Cf") for ch in part):
            return "it contains invisible characters"
    return None


def clash_key(path: str) -> str:
    """Return a text that is equal for two paths if some file system treats them as one (case, Unicode form)."""
    return (
        path.casefold()
        if path.isascii()
        else unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    )
