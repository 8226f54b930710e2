"""Cell names, such as `puppies/poster[seed=1]`: writes and parses them, and lists of labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

_PLAIN = re.compile(r"[^\s\x00-\x1f\x7f\"\\,=\[\]](?:[^\x00-\x1f\x7f\"\\,=\[\]]*[^\s\x00-\x1f\x7f\"\\,=\[\]])?")
_PAIR = re.compile(r'\s*([^=,\[\]"]+)=("(?:[^"\\]|\\.)*"|[^,\[\]"]*)(,|$)')
_QUOTED = re.compile(r'\s*("(?:[^"\\]|\\.)*")\s*(,|$)')


def cell_name(image: str, cell: Iterable[str]) -> str:
    """Return the name of a cell. `image` is `spec/image`; `cell` has `axis=label` of each sorted axis, `quoted`."""
    inside = ",".join(cell)
    return f"{image}[{inside}]" if inside else image


def quoted(label: str) -> str:
    """Return a label for a cell name: in quotes if it holds a character that has a meaning in names."""
    return label if _PLAIN.fullmatch(label) else json.dumps(label, ensure_ascii=False)


def parse_cell_name(name: str) -> tuple[str, dict[str, str]] | None:
    """Return (`spec/image`, labels by axis) of a cell's name; None if the name is malformed."""
    image, bracket, rest = name.partition("[")
    if not bracket:
        return image, {}
    if not rest.endswith("]"):
        return None
    inner, at, cell = rest[:-1], 0, dict[str, str]()
    while at < len(inner):
        match = _PAIR.match(inner, at)
        if match is None or match[1].strip() in ("", *cell):
            return None
        label = _unquoted(match[2]) if match[2].startswith('"') else match[2]
        if label is None:
            return None
        cell[match[1].strip()] = label
        at = match.end()
    return image, cell


def split_labels(text: str) -> Iterator[str]:
    """Yield the labels that commas separate. White space around a label does not count, unless quotes hold it."""
    at = 0
    while at <= len(text):
        match = _QUOTED.match(text, at)
        label = _unquoted(match[1]) if match else None
        if match and label is not None:
            yield label
            at = match.end() if match[2] else len(text) + 1
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            yield text[at:end].strip()
            at = end + 1


def _unquoted(label: str) -> str | None:
    try:
        return str(json.loads(label, strict=False))
    except ValueError:
        return None
