"""Declared names: which names images, axes and variables may have, and why others are refused.

A name that is accepted always means what the spec says. So a name is refused if qwenbuild sets it, if Jinja gives it
another meaning, if the image has a key of that name, or if Python takes it for another name of the same image.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qwenbuild.files.text import nfc
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Problem

if TYPE_CHECKING:
    from .spec import Image, SpecFile

FIELDS = ("model", "size", "seed", "negative_prompt", "prompt_extend", "watermark")
"""Request fields that a spec, an image or an axis may set."""

RESERVED = ("spec", "image", "width", "height", "ratio")
"""Names that qwenbuild sets for templates; an axis or variable can't have them."""

SET = frozenset({*RESERVED, "model", "size", "seed"})
"""Names that templates always see."""

_CONSTANTS = ("true", "false", "none", "True", "False", "None")
_UNREADABLE = {  # in Jinja
    **dict.fromkeys(_CONSTANTS, "in templates this is a constant"),
    "not": "in templates this is an operator",
    "self": "in templates this is the template itself",
}
_IMAGE_KEYS = {  # of an image that are not axes, with what to write instead
    "prompt": 'give the axis another name, such as text, and write prompt = "{{ text }}"',
    "template": 'give the axis another name, such as layout, and write prompt = "{% include layout %}"',
    "output": 'a path may hold axes, as in output = "{{ size }}/{{ seed }}.png"',
    "vars": "variables stand beside the matrix: [image.NAME.vars]",
    "matrix": "give the axis another name",
    "exclude": "it stands beside the matrix, not in it: [[image.NAME.exclude]]",
    "include": "it stands beside the matrix, not in it: [[image.NAME.include]]",
}
_IMAGE_NAME = re.compile(r"[^\W_][\w.-]*")
_LABEL = re.compile(r"[\w.][\w.-]*")  # a tag, or the name of a profile
_LONGEST = 200  # characters of a name


def problems(content: SpecFile, source: TomlFile) -> dict[str, list[Problem]]:
    """Return the problems of a spec's names, by the image that they belong to; those of the whole file are at ""."""
    found = {"": [*of_variables(content.vars, source, ("vars",)), *_axes(content.axes, source, ("axes",))]}
    for name, image in content.image.items():
        found[name] = [
            *_image(name, source),
            *_tags(image.tags, source, ("image", name, "tags")),
            *of_variables(image.vars, source, ("image", name, "vars")),
            *_axes(image.matrix, source, ("image", name, "matrix")),
            *_axes_of_includes(image, source, ("image", name, "include")),
            *_same(name, image, content, source),
        ]
    return {name: each for name, each in found.items() if each}


def of_config(
    variables: Iterable[str], axes: Iterable[str], source: TomlFile, keys: tuple[str, ...]
) -> Iterator[Problem]:
    """Yield the problems of the names in the config: of its defaults' variables, and of its axes.

    `keys` are those of the config's table in its file.
    """
    yield from of_variables(variables, source, (*keys, "defaults", "vars"))
    yield from _axes(axes, source, (*keys, "axes"))


def _image(name: str, source: TomlFile) -> Iterator[Problem]:
    if not _IMAGE_NAME.fullmatch(name) or len(name) > _LONGEST:
        why = _too_long(name) or "letters, digits, _, - and ., first a letter or digit"
        yield Problem(f'not an image name: "{name}"', source.place(("image", name), key=True), why, name="wrong-name")


def _tags(tags: Sequence[str], source: TomlFile, keys: Keys) -> Iterator[Problem]:
    known: set[str] = set()
    for number, tag in enumerate(map(nfc, tags)):
        if why := label_fault(tag):
            yield Problem(f'not a tag: "{tag}"', source.place((*keys, number)), why, name="wrong-name")
        elif tag in known:
            yield Problem(
                f'the tag "{tag}" stands here twice',
                source.place((*keys, number)),
                "remove one of them",
                name="value-twice",
            )
        known.add(tag)


def label_fault(name: str) -> str:
    """Return why no tag and no profile can have this name; empty if they can."""
    return _too_long(name) or ("" if _LABEL.fullmatch(name) else "letters, digits, _, - and ., first no -")


def variable_fault(name: str) -> str:
    """Return why templates can't read a variable of this name; empty if they can."""
    return _fault(name, "letters, digits and _, not starting with a digit")


def of_variables(names: Iterable[str], source: TomlFile, keys: Keys) -> Iterator[Problem]:
    """Yield the problems of the names of variables; `keys` are those of their table."""
    for name in names:
        if name in SET:
            place = source.place((*keys, name), key=True)
            yield Problem(
                f'"{name}" is a name that qwenbuild sets; a variable can\'t take it', place, name="wrong-name"
            )
        elif why := _fault(name, "letters, digits and _"):
            yield Problem(
                f'not a variable name: "{name}"', source.place((*keys, name), key=True), why, name="wrong-name"
            )


def _axes(names: Iterable[str], source: TomlFile, keys: Keys) -> Iterator[Problem]:
    for name in names:
        why = _fault(name, "letters, digits and _, not starting with a digit")
        if name in RESERVED:
            why = "reserved"
        elif name in _IMAGE_KEYS:
            why = "this is a key of the image"
        if why:
            image_name = str(keys[1]) if keys[0] == "image" else "NAME"
            hint = _IMAGE_KEYS.get(name, "").replace("NAME", image_name) or None
            yield Problem(
                f'not an axis name: "{name}"', source.place((*keys, name), key=True), why, hint=hint, name="wrong-name"
            )


def _axes_of_includes(image: Image, source: TomlFile, keys: Keys) -> Iterator[Problem]:
    """Yield the problems of the axes that the includes of an image without a matrix name, each name once."""
    known: set[str] = set()
    for number, cell in enumerate([] if image.has_matrix else image.include):
        yield from _axes([axis for axis in cell if axis not in known], source, (*keys, number))
        known |= cell.keys()


def _fault(name: str, allowed: str) -> str:
    """Return why templates can't read a variable of this name; empty if they can."""
    return _UNREADABLE.get(name, "") or _too_long(name) or ("" if name.isidentifier() else allowed)


def _too_long(name: str) -> str:
    return f"{len(name):,} characters; at most {_LONGEST}" if len(name) > _LONGEST else ""


def _same(image_name: str, image: Image, content: SpecFile, source: TomlFile) -> Iterator[Problem]:
    """Yield a problem for each name that Python, which runs the templates, takes for another name of the image.

    Python compares identifiers in Unicode's form NFKC: `ﬁ` is `fi`.
    """
    tables: Sequence[tuple[Keys, Mapping[str, Any]]] = (
        (("vars",), content.vars),
        (("image", image_name, "vars"), image.vars),
        (("image", image_name, "matrix"), image.matrix),
    )
    known = {name: name for name in sorted(SET)}
    for keys, table in tables:
        for name in table:
            other = known.setdefault(name if name.isascii() else unicodedata.normalize("NFKC", name), name)
            if other != name:
                place = source.place((*keys, name), key=True)
                yield Problem(
                    f'"{name}" and "{other}" are one name for templates', place, "rename one of them", name="wrong-name"
                )
