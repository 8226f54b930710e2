"""The text format of `qwenbuild.lock`: parsed and rendered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import partial
from typing import Any, NamedTuple, TypeVar

import tomli_w

from qwenbuild.errors import ProjectError
from qwenbuild.files.paths import clash_key, path_fault
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Problem
from qwenbuild.request import SEED_MAX

VERSION = 1
_WRITTEN_AT_ONCE = 100  # records
_PLAIN = re.compile(r"[\w /.,=:;+@|!?'()\[\]-]*")
_HEAD = f"# What each output is made of. Written by qwenbuild; commit it.\nversion = {VERSION}\n"
_FORM = '\n[[output]]\npath = %s\nname = %s\nkey = "%s"\nimage = "%s"\nmodel = %s\nseed = %s\n'
_LINES = _FORM.count("\n")  # of a record
_TEXTS = re.compile(r'(?:[^"\\\x00-\x1f\x7f]++|\\["\\]|\n)*+')  # as tomli-w writes most, one a line
_SPECIAL = bytes({*range(32), 0x7F, *b'"\\'} - {*b"\n"})  # all that a text may not hold as it is
_SEEDS = re.compile(r"(?:(?:0|[1-9][0-9]{0,9})\n)*+")
_ESCAPED = re.compile(r'\\(["\\])')
_DIGEST = re.compile(r"[0-9a-f]{64}")
BYTES_AT_ONCE = 2**16  # bytes of which the records are read together: the system takes long to give more memory
_T = TypeVar("_T")
_MENDED = "restore it from your repository, or delete it and run `qwenbuild lock`"
_FIELDS: Mapping[str, type] = {"path": str, "name": str, "key": str, "image": str, "model": str, "seed": int}
_PLAIN_FORM = _FORM % ('"%s"', '"%s"', "%s", "%s", '"%s"', "%s")  # of texts that need no escape


class Pin(NamedTuple):
    """One record: an output's path below the output folder, and what it is made of."""

    path: str
    name: str  # of the cell
    key: str  # of the request
    image: str  # SHA-256 of the bytes
    model: str
    seed: int


def parse(text: str, shown: str) -> Mapping[str, Pin]:
    """Return the pins of a lock's text; raises what `read` does, for conflicts of a merge as well."""
    return _pins(shown, _as_written(text), frozenset())


def render(pins: Iterable[Pin]) -> str:
    """Return the text of a lock."""
    ordered, parts = sorted(pins), [_HEAD]
    for at in range(0, len(ordered), _WRITTEN_AT_ONCE):
        some = ordered[at : at + _WRITTEN_AT_ONCE]
        # The library is asked only where something may need an escape, which takes its time.
        is_plain = _PLAIN.fullmatch("".join([pin.path + pin.name + pin.model for pin in some]))
        parts += map(_PLAIN_FORM.__mod__, some) if is_plain else [_record(*pin) for pin in some]
    return "".join(parts)


def _record(path: str, name: str, key: str, image: str, model: str, seed: int) -> str:
    """Return the text of a pin."""
    path, name, model = (
        tomli_w.dumps({"value": value}).removeprefix("value = ").removesuffix("\n") for value in (path, name, model)
    )
    return _FORM % (path, name, key, image, model, seed)


def _as_written(text: str) -> str:
    """Return a text without the line breaks that git gives it on some systems."""
    return text.replace("\r\n", "\n")


def _pins(shown: str, text: str, sound: Set[str]) -> Mapping[str, Pin]:
    try:
        return _quickly([text.encode()], sound)[0]
    except ValueError:
        return _carefully(shown, text)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the same text in pieces that end where a record does; raises ValueError where none ends for long."""
    rest = b""
    for chunk in chunks:
        before, end, rest = (rest + chunk).rpartition(b"\n\n")
        if end:
            yield before + b"\n"
            rest = b"\n" + rest
        elif len(rest) > 16 * BYTES_AT_ONCE:
            raise ValueError
    yield rest


def _quickly(pieces: Iterable[bytes], sound: Set[str]) -> tuple[dict[str, Pin], None, str]:
    """Return what `Lock` takes of a text in exactly the form that is written; raises ValueError for any other."""
    found: list[Pin] = []
    head, hashed = _HEAD, hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
        text = piece.decode()
        if not text.startswith(head):
            raise ValueError
        if records := text.removeprefix(head):
            found += _records(records.split("\n"))
        head = ""
    pins = {pin.path: pin for pin in found}
    others = pins.keys() - sound
    told_apart = set(clash_key("\n".join(pins)).split("\n")) if others else pins
    if len(told_apart) < len(found) or any(map(path_fault, others)):
        raise ValueError
    return pins, None, hashed.hexdigest()


def _records(lines: list[str]) -> Iterable[Pin]:
    """Return the pins of records, whose lines these are; raises ValueError. Column by column: most of it is done in C.

    The last line is the empty one that a text ends with after its last line break.
    """
    count, rest = divmod(len(lines), _LINES)
    blank, head, path, name, key, image, model, seed = (lines[number:-1:_LINES] for number in range(_LINES))
    if rest != 1 or lines[-1] or any(blank) or head.count("[[output]]") != count:
        raise ValueError
    first = _texts(path, "path"), _texts(name, "name"), _digests(key, "key"), _digests(image, "image")
    last = _each_once(model, partial(_texts, name="model")), _each_once(seed, _seeds)
    return map(partial(tuple.__new__, Pin), zip(*first, *last, strict=True))


def _each_once(lines: list[str], read: Callable[[list[str]], list[_T]]) -> list[_T]:
    """Return what `read` does of lines of which many are equal."""
    distinct = list(set(lines))
    known = dict(zip(distinct, read(distinct), strict=True))
    return [known[line] for line in lines]


def _column(lines: list[str], before: str, after: str = '"') -> list[str]:
    """Return what stands between `before` and `after` on each line; raises ValueError."""
    first, *found, last = "\n".join([after, *lines, before]).split(f"{after}\n{before}")
    if first or last or len(found) != len(lines):
        raise ValueError
    return found


def _texts(lines: list[str], name: str) -> list[str]:
    found = _column(lines, f'{name} = "')
    joined = "\n".join(found)
    content = joined.encode()
    if len(content.translate(None, _SPECIAL)) == len(content):  # nearly all
        return found
    if not _TEXTS.fullmatch(joined):
        raise ValueError
    return _ESCAPED.sub(r"\1", joined).split("\n")


def _digests(lines: list[str], name: str) -> list[str]:
    found = _column(lines, f'{name} = "')
    joined = "".join(found)
    if {*map(len, found)} != {64} or bytes.fromhex(joined).hex() != joined:
        raise ValueError
    return found


def _seeds(lines: list[str]) -> list[int]:
    found = _column(lines, "seed = ", "")
    if not _SEEDS.fullmatch("\n".join([*found, ""])):
        raise ValueError
    seeds = [*map(int, found)]
    if max(seeds, default=0) > SEED_MAX:
        raise ValueError
    return seeds


def _carefully(shown: str, text: str) -> dict[str, Pin]:
    """Return the pins of a text, or raise ProjectError with every mistake in it."""
    file = TomlFile.parse(shown, text)
    version = file.table.get("version")
    if isinstance(version, int) and version > VERSION:
        claim = f"{shown} is of version {version}; this qwenbuild reads up to {VERSION}"
        raise ProjectError([Problem(claim, file.place(("version",)), hint="a newer qwenbuild reads it")])
    if type(version) is not int or version < 1:
        raise ProjectError([Problem(f"{shown} has no version", file.place(("version",)), hint=_MENDED)])
    if unknown := set(file.table) - {"version", "output"}:
        raise ProjectError([Problem(f'unknown key "{key}"', file.place((key,), key=True)) for key in sorted(unknown)])
    records = file.table.get("output", [])
    if not isinstance(records, list):
        raise ProjectError([Problem("output must be [[output]] tables", file.place(("output",)))])
    pins: dict[str, Pin] = {}
    seen: dict[str, str] = {}
    problems: list[Problem] = []
    for number, record in enumerate(records):
        fault = _fault(record)
        if fault:
            key, claim = fault
            problems.append(Problem(claim, file.place(("output", number, *key))))
            continue
        pin = Pin(**record)
        if before := seen.get(clash_key(pin.path)):
            claim = "it is pinned twice" if before == pin.path else f"some file systems can't tell it from {before}"
            problems.append(Problem(f"{pin.path}: {claim}", file.place(("output", number, "path"))))
        seen[clash_key(pin.path)] = pin.path
        pins[pin.path] = pin
    if problems:
        raise ProjectError(problems)
    return pins


def _fault(record: Any) -> tuple[tuple[str, ...], str] | None:
    """Return where in a record something is wrong, and what; None where it is sound."""
    if not isinstance(record, dict):
        return (), "a table was expected"
    for key in record:
        if key not in _FIELDS:
            return (key,), f'unknown key "{key}"'
    for key, kind in _FIELDS.items():
        if key not in record:
            return (), f'"{key}" is missing'
        if type(record[key]) is not kind:
            return (key,), f"{key} must be {'a text' if kind is str else 'a whole number'}"
    for key in ("key", "image"):
        if not _DIGEST.fullmatch(record[key]):
            return (key,), f"{key} must be 64 hexadecimal digits, lower-case"
    if not 0 <= record["seed"] <= SEED_MAX:
        return ("seed",), f"seed must be between 0 and {SEED_MAX}"
    if fault := path_fault(record["path"]):
        return ("path",), f"not an output path: {fault}"
    return None
