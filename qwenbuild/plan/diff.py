"""The differences of two requests, in words: `prompt changed: -red +blue; seed 1 -> 2`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from qwenbuild.digest import canonical_json
from qwenbuild.emulation import FACT
from qwenbuild.problems import plain
from qwenbuild.request import RANDOM_SEED

_WORD = re.compile(r"\w+|[^\w\s]")
# Not compiled here, because compiling a pattern at import would slow down every command.
_PIECE = r"\s+|[\u2e80-\u9fff\uac00-\ud7a3]|(?:(?![\u2e80-\u9fff\uac00-\ud7a3])\w)+|[^\w\s]"
_LONGEST = 20_000  # most characters compared word by word: far more than two prompts; a forged provenance may have more
_WIDEST = 60  # most characters of a parameter's value in a summary
_SHOWN = 4  # most words of each side in a summary


def summary(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return how the request `new` differs from `old`, field by field; both are as `Request.as_dict` gives them."""
    changed = [name for name in _different(old, new) if name != "label"]
    words: list[str] = []
    for name in changed:
        one, other = old.get(name, ""), new.get(name, "")
        words += _parameters(one, other) if name == "parameters" else [_field(name, one, other)]
    return "; ".join(words) or _label(old, new)


def kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return which fields of two requests differ, without their values: `prompt changed; seed changed`."""
    return "; ".join(f"{_shown(name)} changed" for name in _different(old, new) if name != "label")


def _parameters(old: object, new: object) -> list[str]:
    """Return how two tables of vendor parameters differ; anything else counts as no parameters."""
    before, after = (table if isinstance(table, dict) else {} for table in (old, new))
    found = []
    for name in {**after, **before}:
        one, other = (canonical_json(it[name]).decode() if name in it else "" for it in (before, after))
        if not other:
            found.append(f"parameter {name} removed, was {_cut(one)}")
        elif not one:
            found.append(f"parameter {name} added: {_cut(other)}")
        elif one != other:
            is_shown = _cut(one) != _cut(other)
            found.append(f"parameter {name} changed" + (f": {_cut(one)} -> {_cut(other)}" if is_shown else ""))
    return found


def _cut(text: str) -> str:
    """Return a parameter's value as a summary shows it."""
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def is_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two recorded requests are equal. It does not matter whether an emulator answered one of them."""
    return not _different(old, new)


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in {**new, **old} if old.get(name, "") != new.get(name, "") and name != FACT]


def pieces(old: str, new: str) -> list[tuple[str, str]]:
    """Return the edits from `old` to `new` as (sign, text): "-" removed, "+" added, " " unchanged.

    The unit is a word, or a character in scripts without spaces. Removed and unchanged texts together
    are `old`.
    """
    if len(old) + len(new) > _LONGEST:
        return [(" ", old)] if old == new else [(sign, text) for sign, text in (("-", old), ("+", new)) if text]
    before, after = re.findall(_PIECE, old), re.findall(_PIECE, new)
    found: list[tuple[str, str]] = []
    for tag, i, j, k, m in _opcodes(before, after):
        if tag == "equal":
            found.append((" ", "".join(before[i:j])))
            continue
        found += [(sign, "".join(part)) for sign, part in (("-", before[i:j]), ("+", after[k:m])) if part]
    return found


def _opcodes(before: list[str], after: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    import difflib  # here, because most commands show no difference

    return difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()


def _label(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if old.get(FACT, "") != new.get(FACT, ""):
        return f"made by {_maker(new)}, not by {_maker(old)}"
    return f"renamed from {old['label']}" if old.get("label") and old["label"] != new.get("label") else "key changed"


def _maker(request: Mapping[str, Any]) -> str:
    return f"the emulator at {plain(request[FACT])}" if request.get(FACT) else "the service"


def _field(name: str, old: object, new: object) -> str:
    if not name.endswith("prompt"):
        if name == "seed" and new == RANDOM_SEED:
            new = "random"
        return f"{_shown(name)} {plain(old) or 'none'} -> {plain(new) or 'none'}"
    # Most edits change a few words: compare only the text from the first to the last difference.
    one, other = _trimmed(str(old), str(new))
    one, other = _trimmed(one[::-1], other[::-1])
    return f"{_shown(name)} changed: {_words(one[::-1], other[::-1])}"


def _shown(name: str) -> str:
    """Return a field's name as people know it."""
    return "provider" if name == "family" else name.replace("_", " ")


@lru_cache(maxsize=256)  # editing a template changes the prompts of all its cells in the same way
def _words(one: str, other: str) -> str:
    before, after = _WORD.findall(one), _WORD.findall(other)
    removed, added = [], []
    for tag, i, j, k, m in _opcodes(before, after):
        if tag != "equal":
            removed += before[i:j]
            added += after[k:m]
    return " ".join(_few("-", removed) + _few("+", added) or ["white space"])


def _trimmed(one: str, other: str) -> tuple[str, str]:
    """Return both texts without their common first words."""
    alike, unknown = 0, min(len(one), len(other))
    while alike < unknown:
        middle = (alike + unknown + 1) // 2
        if one[alike:middle] == other[alike:middle]:
            alike = middle
        else:
            unknown = middle - 1
    while alike and (one[alike - 1].isalnum() or one[alike - 1] == "_"):
        alike -= 1
    return one[alike:], other[alike:]


def _few(sign: str, words: list[str]) -> list[str]:
    shown = [sign + word for word in words[:_SHOWN]]
    return [*shown, f"{sign}{len(words) - _SHOWN} more"] if len(words) > _SHOWN else shown
