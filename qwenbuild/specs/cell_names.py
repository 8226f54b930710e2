"""Cell names, such as `puppies/poster[seed=1]`: writes and parses them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[^\s\x00-\x1f\x7f\"\\,=\[\]](?:[^\x00-\x1f\x7f\"\\,=\[\]]*[^\s\x00-\x1f\x7f\"\\,=\[\]])?")
_PAIR = re.compile(r'\s*([^=,\[\]"]+)=("(?:[^"\\]|\\.)*"|[^,\[\]"]*)(,|$)')


def cell_name(image: str, cell: Iterable[tuple[str, str]]) -> str:
    """Return the name of a cell. `image` is `spec/image`; `cell` has the sorted axes with their `quoted` labels."""
    inside = ",".join([f"{axis}={label}" for axis, label in cell])
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
    inner, at, cell = rest[:-1], 0, {}
    while at < len(inner):
        match = _PAIR.match(inner, at)
        if match is None or match[1].strip() in cell:
            return None
        try:
            cell[match[1].strip()] = str(json.loads(match[2])) if match[2].startswith('"') else match[2]
        except ValueError:
            return None
        at = match.end()
    return image, cell
