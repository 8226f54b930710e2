"""Control characters: finds them in texts, with their places. A prompt has none but tabs and line ends.

Nobody writes them on purpose: they come from a wrong encoding, from copied terminals, or from binary data. The service
might refuse them, or cut the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from qwenbuild.files.text import line_of
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place, Problem

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CLEAN = re.compile(r"[\t\n\r\x20-\x7e\xa0-\U0010ffff]*+")
_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\n]")
# An escape of JSON or TOML that stands for one; backslashes in pairs before it stand for themselves.
_HEX = "(?:0[0-8bcefBCEF]|1[0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])"
_ESCAPE = re.compile(rf"(?<!\\)(?:\\\\)*(\\(?:[bfe]|(?:u00|U000000|x){_HEX}))")
_HINT = "delete it; only tabs and line ends may stand in a text"


def first_control(text: str) -> int | None:
    """Return the index of the first control character of a text; None if it has none but tabs and line ends."""
    if text.isprintable():  # the usual case, in a fifth of the time
        return None
    found = _CONTROL.search(text)
    return found.start() if found else None


def named(character: str) -> str:
    """Return a control character as messages name it, such as `U+0000`."""
    return f"the control character U+{ord(character):04X}"


def in_text(text: str, shown: str) -> Iterator[Problem]:
    """Yield a problem for each line of a file that holds control characters; `shown` names the file."""
    if _CLEAN.fullmatch(text):  # nearly every file, in half the time of a search
        return
    line, start, told = 1, 0, 0
    for found in _LINES.finditer(text):
        if found[0] == "\n":
            line, start = line + 1, found.end()
        elif told < line:
            told = line
            place = Place(shown, line, found.start() - start + 1, 1, line_of(text, line))
            yield Problem(f"{named(found[0])} can't be part of a text", place, hint=_HINT, name="control-character")


def in_json_line(source: str, shown: str, line: int) -> Iterator[Problem]:
    """Yield a problem if a line of JSON holds an escape that stands for a control character."""
    if "\\" in source and (found := _ESCAPE.search(source)):
        place = Place(shown, line, found.start(1) + 1, len(found[1]), source)
        yield Problem(f"{named(_meant(found[1]))} can't be part of a text", place, hint=_HINT, name="control-character")


def in_toml(file: TomlFile) -> Iterator[tuple[Keys, Problem]]:
    """Yield (keys, problem) for each value of a TOML file that holds a control character."""
    if _ESCAPE.search(file.text) or _CONTROL.search(file.text):  # nearly no file has any
        for keys, text in texts_in(file.table, ()):
            at = first_control(text)
            if at is not None:
                yield (
                    keys,
                    Problem(
                        f"{named(text[at])} can't be part of a text",
                        file.place(keys),
                        hint=_HINT,
                        name="control-character",
                    ),
                )


def texts_in(value: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:
    """Yield (keys, text) for each text within the values of a TOML file."""
    open_ = [(keys, value)]
    while open_:
        keys, value = open_.pop()
        if isinstance(value, str):
            yield keys, value
        elif isinstance(value, dict):
            open_ += [((*keys, key), each) for key, each in reversed(value.items())]
        elif isinstance(value, list):
            open_ += [((*keys, number), each) for number, each in reversed(list(enumerate(value)))]


def _meant(escape: str) -> str:
    """Return the character that a JSON escape stands for."""
    return {"\\b": "\b", "\\f": "\f"}.get(escape) or chr(int(escape[-2:], 16))
