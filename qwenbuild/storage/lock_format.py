"""The text of the lock: rendered from pins, and parsed into them.

A lock is TOML, of the lowest version that can say what it says. A lock with emulated images has version 2, because
older versions of qwenbuild must not take them for the service's. A lock that names a profile or variables of `--var`
has version 3, because older versions know neither. Any other lock has version 1.

A text in exactly the form that `render` gives is read by columns instead: see `parse_rendered`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import tomli_w

from qwenbuild.errors import MOST_PROBLEMS, ProjectError
from qwenbuild.files.paths import clash_key, path_fault
from qwenbuild.files.toml import TomlFile
from qwenbuild.problems import Problem
from qwenbuild.request import SEED_MAX

VERSION = 3
_HEAD = "# What each output is made of. Written by qwenbuild; commit it.\nversion = %d\n"
HEAD = _HEAD % 1
_HEADS = [_HEAD % version for version in range(1, VERSION + 1)]
CHUNK_BYTES = 2**16  # bytes to parse at once; with larger chunks, allocating memory is slow

_RECORD = '\n[[output]]\npath = %s\nname = %s\nkey = "%s"\nimage = "%s"\nmodel = %s\nseed = %s\n'
_LINES = _RECORD.count("\n")  # of a record
_SHARED = _RECORD.count(" = ")  # values that each record has
_MORE_LINES = ("emulated_by = ", "profile = ", "vars = ")
_PLAIN_RECORD = _RECORD % ('"%s"', '"%s"', "%s", "%s", '"%s"', "%s")  # for texts that need no escape
_RECORDS_AT_ONCE = 100
_MOST_OTHER = 2**26  # characters of a lock in any other form: the TOML parser takes ten seconds for them

# What tomli-w usually writes between the quotes, one string a line.
_STRINGS = re.compile(r'(?:[^"\\\x00-\x1f\x7f]++|\\["\\]|\n)*+')
_SPECIAL = bytes({*range(32), 0x7F, *b'"\\'} - {*b"\n"})  # characters that a TOML string must escape
_ESCAPED = re.compile(r'\\(["\\])')
_SEEDS = re.compile(r"(?:(?:0|[1-9][0-9]{0,9})\n)*+")

_FIELDS: Mapping[str, type] = {"path": str, "name": str, "key": str, "image": str, "model": str, "seed": int}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REPAIR_HINT = "restore it from your repository, or delete it and run `qwenbuild lock`"
_T = TypeVar("_T")


class Pin(NamedTuple):
    """One record of the lock: an output's path below the output folder, its cell, its request and its bytes."""

    path: str
    name: str  # of the cell
    key: str  # of the request
    image: str  # SHA-256 of the bytes
    model: str
    seed: int
    emulated_by: str = ""  # the address of the emulator that made the image; empty for an image of the service
    profile: str = ""  # the profile that the output was made with; empty for none
    vars: tuple[str, ...] = ()  # the variables of `--var` that it depends on, each as `name=value`

    @property
    def version(self) -> int:
        """The lowest version of a lock that can hold this pin."""
        return 3 if self.profile or self.vars else 2 if self.emulated_by else 1


def render(pins: Iterable[Pin]) -> str:
    """Return the text of a lock with these pins, sorted by path."""
    ordered = sorted(pins)
    parts = [_HEAD % max((pin.version for pin in ordered), default=1)]
    for start in range(0, len(ordered), _RECORDS_AT_ONCE):
        some = ordered[start : start + _RECORDS_AT_ONCE]
        # tomli-w is slow, so it renders only records that may need an escape.
        texts = "".join([pin.path + pin.name + pin.model for pin in some])
        is_plain = texts.isprintable() and not ('"' in texts or "\\" in texts)
        record = _PLAIN_RECORD.__mod__ if is_plain else _record
        parts += [record(pin[:_SHARED]) + (_more(*pin[_SHARED:]) if any(pin[_SHARED:]) else "") for pin in some]
    return "".join(parts)


def parse(text: str, shown: str) -> Mapping[str, Pin]:
    """Return the pins of a lock's text, by path.

    Raises ProjectError for any mistake, and for the conflict marks of a merge. The error names the file as `shown`.
    """
    text = unix_lines(text)
    try:
        return parse_rendered([text.encode()])[0]
    except ValueError:
        return parse_any_toml(text, shown)


def parse_rendered(chunks: Iterable[bytes]) -> tuple[dict[str, Pin], str]:
    """Return the pins, by path, and the SHA-256 of a text in exactly the form that `render` gives.

    Raises ValueError for any other text. Rows template-edit and one-change: 10,000 records take 0.6 s less.
    """
    found: list[Pin] = []
    head: str | None = None
    hashed = hashlib.sha256()
    for piece in _whole_records(chunks):
        hashed.update(piece)
        text = piece.decode()
        if head is None:
            head = next((it for it in _HEADS if text.startswith(it)), None)
            if head is None:
                raise ValueError
            text = text.removeprefix(head)
        if text:
            found += _records(text.split("\n")) if head == HEAD else _records_with_more(text.split("\n"))
    pins = {pin.path: pin for pin in found}
    distinct = set(clash_key("\n".join(pins)).split("\n")) if pins else set[str]()
    if len(distinct) < len(found) or any(map(path_fault, pins)):
        raise ValueError
    return pins, hashed.hexdigest()


def parse_any_toml(text: str, shown: str) -> dict[str, Pin]:
    """Return the pins of a lock in any form of TOML, by path; raises ProjectError with the first mistakes."""
    if len(text) > _MOST_OTHER:
        claim = f"{shown} is not as qwenbuild writes it, and has more than {_MOST_OTHER:,} characters"
        raise ProjectError([Problem(claim, hint=_REPAIR_HINT, name="lock-damaged")])
    try:
        file = TomlFile.parse(shown, text)
    except ProjectError as error:  # nobody writes a lock by hand: how to write TOML is no help
        raise ProjectError([replace(problem, hint=_REPAIR_HINT) for problem in error.problems]) from None
    pins: dict[str, Pin] = {}
    paths: dict[str, str] = {}
    problems: list[Problem] = []
    for number, record in enumerate(_tables(file, shown)):
        if len(problems) == MOST_PROBLEMS:
            problems.append(
                Problem(f"{shown} may have more mistakes: these are the first {MOST_PROBLEMS}", name="more-problems")
            )
            break
        fault = _fault(record)
        if fault:
            key, claim = fault
            problems.append(Problem(claim, file.place(("output", number, *key)), name="lock-damaged"))
            continue
        pin = Pin(**{**record, "vars": tuple(record.get("vars", ()))})
        if before := paths.get(clash_key(pin.path)):
            claim = (
                "this path is pinned twice" if before == pin.path else f"it clashes with {before} on some file systems"
            )
            place = file.place(("output", number, "path"))
            problems.append(
                Problem(f"{pin.path}: {claim}", place, hint="delete one of the two records", name="lock-damaged")
            )
        paths[clash_key(pin.path)] = pin.path
        pins[pin.path] = pin
    if problems:
        raise ProjectError(problems)
    return pins


def unix_lines(text: str) -> str:
    """Return the text with `\\n` line breaks. On Windows git may check a lock out with `\\r\\n`."""
    return text.replace("\r\n", "\n")


def _record(shared: tuple[Any, ...]) -> str:
    path, name, key, image, model, seed = shared
    return _RECORD % (_quoted(path), _quoted(name), key, image, _quoted(model), seed)


@lru_cache(maxsize=64)  # most records of a lock share these lines
def _more(emulated_by: str, profile: str, variables: tuple[str, ...]) -> str:
    """Return the lines of a record that others lack."""
    texts = {"emulated_by": _quoted(emulated_by), "profile": _quoted(profile),
             "vars": f"[{', '.join(map(_quoted, variables))}]"}  # fmt: skip
    is_set = {"emulated_by": emulated_by, "profile": profile, "vars": variables}
    return "".join(f"{name} = {text}\n" for name, text in texts.items() if is_set[name])


def _quoted(text: str) -> str:
    return tomli_w.dumps({"value": text}).removeprefix("value = ").removesuffix("\n")


def _whole_records(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the text in pieces that end with a whole record. Raises ValueError if a record is too long."""
    rest = b""
    for chunk in chunks:
        before, end, rest = (rest + chunk).rpartition(b"\n\n")
        if end:
            yield before + b"\n"
            rest = b"\n" + rest
        elif len(rest) > 16 * CHUNK_BYTES:
            raise ValueError
    yield rest


def _records(lines: list[str]) -> Iterable[Pin]:
    """Return the pins of these lines of whole records. Raises ValueError.

    The lines are read by columns, because most of that work is done in C. The last line is the
    empty text after the last line break.
    """
    count, rest = divmod(len(lines), _LINES)
    blank, head, path, name, key, image, model, seed = (lines[number:-1:_LINES] for number in range(_LINES))
    if rest != 1 or lines[-1] or any(blank) or head.count("[[output]]") != count:
        raise ValueError
    first = _strings(path, "path"), _strings(name, "name"), _digests(key, "key"), _digests(image, "image")
    last = _each_once(model, partial(_strings, name="model")), _each_once(seed, _seeds)
    more = repeat("", count), repeat("", count), repeat((), count)
    return map(partial(tuple.__new__, Pin), zip(*first, *last, *more, strict=True))


def _records_with_more(lines: list[str]) -> Iterable[Pin]:
    """Return the pins of these lines of whole records, some of which have lines that others lack. Raises ValueError."""
    shared: list[str] = []
    more: dict[int, dict[str, Any]] = {}  # by the number of the record
    for line in lines:
        if line.startswith(_MORE_LINES):
            number, rest = divmod(len(shared), _LINES)
            name, value = _line(line)
            if rest or name in more.setdefault(number - 1, {}):
                raise ValueError
            more[number - 1][name] = value
        else:
            shared.append(line)
    if fault := next((fault for values in more.values() if (fault := _fault_of_more(values))), None):
        raise ValueError(fault)
    for number, pin in enumerate(_records(shared)):
        yield pin._replace(**more[number]) if number in more else pin


@lru_cache(maxsize=64)
def _line(line: str) -> tuple[str, Any]:
    """Return the key and the value of a line. Raises ValueError."""
    [(name, value)] = tomllib.loads(line).items()
    return name, tuple(value) if isinstance(value, list) else value


def _each_once(lines: list[str], read: Callable[[list[str]], list[_T]]) -> list[_T]:
    """Return `read(lines)`. Many lines are equal, so each distinct line is read once."""
    distinct = list(set(lines))
    known = dict(zip(distinct, read(distinct), strict=True))
    return [known[line] for line in lines]


def _column(lines: list[str], before: str, after: str = '"') -> list[str]:
    """Return the text between `before` and `after` of each line; raises ValueError."""
    first, *found, last = "\n".join([after, *lines, before]).split(f"{after}\n{before}")
    if first or last or len(found) != len(lines):
        raise ValueError
    return found


def _strings(lines: list[str], name: str) -> list[str]:
    found = _column(lines, f'{name} = "')
    joined = "\n".join(found)
    content = joined.encode()
    if len(content.translate(None, _SPECIAL)) == len(content):  # the usual case: nothing is escaped
        return found
    if not _STRINGS.fullmatch(joined):
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


def _tables(file: TomlFile, shown: str) -> list[Any]:
    """Return the `[[output]]` tables of a lock; raises ProjectError if the file is not a lock of a known version."""
    version = file.table.get("version")
    if isinstance(version, int) and version > VERSION:
        claim = f"{shown} has format version {version}; this qwenbuild reads up to version {VERSION}"
        raise ProjectError([Problem(claim, file.place(("version",)), hint="upgrade qwenbuild", name="newer-version")])
    if type(version) is not int or version < 1:
        claim, place = f"{shown} has no version", file.place(("version",))
        raise ProjectError([Problem(claim, place, hint=_REPAIR_HINT, name="lock-damaged")])
    if unknown := set(file.table) - {"version", "output"}:
        places = {key: file.place((key,), key=True) for key in sorted(unknown)}
        raise ProjectError([Problem(f'unknown key "{it}"', at, name="lock-damaged") for it, at in places.items()])
    tables = file.table.get("output", [])
    if not isinstance(tables, list):
        raise ProjectError([Problem("output must be [[output]] tables", file.place(("output",)), name="lock-damaged")])
    return tables


def _fault_of_more(record: Mapping[str, Any]) -> tuple[tuple[str, ...], str] | None:
    """Return what `_fault` returns, for the lines that a record may lack."""
    for key in ("emulated_by", "profile"):
        if type(record.get(key, "")) is not str:
            return (key,), f"{key} must be a text"
    names = record.get("vars", ())
    if not isinstance(names, list | tuple) or any(type(name) is not str for name in names):
        return ("vars",), "vars must be a list of texts"
    return None


def _fault(record: Any) -> tuple[tuple[str, ...], str] | None:
    """Return the keys that lead to the first mistake in a record, and the claim; None if the record is valid."""
    if not isinstance(record, dict):
        return (), "a table was expected"
    for key in record:
        if key not in _FIELDS and key not in Pin._fields:
            return (key,), f'unknown key "{key}"'
    if fault := _fault_of_more(record):
        return fault
    for key, kind in _FIELDS.items():
        if key not in record:
            return (), f'"{key}" is missing'
        if type(record[key]) is not kind:
            return (key,), f"{key} must be {'a text' if kind is str else 'a whole number'}"
    for key in ("key", "image"):
        if not _DIGEST.fullmatch(record[key]):
            return (key,), f"{key} must be 64 lower-case hexadecimal digits"
    if not 0 <= record["seed"] <= SEED_MAX:
        return ("seed",), f"seed must be between 0 and {SEED_MAX}"
    if wrong := path_fault(record["path"]):
        return ("path",), f"not an output path: {wrong}"
    return None
