"""Undeclared variables: those that a prompt reads and nothing declares, if its template can't be compiled.

A template that is compiled tells them when it is rendered. So an unknown filter would hide them until it is mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import jinja2
from jinja2 import nodes

from qwenbuild.files.text import nfc
from qwenbuild.problems import Problem

from . import layers
from .declaration import Declaration
from .declared_names import SET
from .template import Locate, Templates
from .template_problems import undefined

_BESIDE = ("No filter named", "No test named")  # mistakes beside which the rest of a template can be read


def of_prompt(declaration: Declaration, templates: Templates, locate: Locate, problem: Problem) -> Iterator[Problem]:
    """Yield the undeclared variables of an image's prompt, if its `problem` is an unknown filter or test.

    `locate` finds the lines of a prompt that stands in the spec. Variables that included files read are left out.
    """
    if not any(beside in problem.claim for beside in _BESIDE):
        return
    name = declaration.image.template
    text = (templates.text(name) if name else declaration.image.prompt) or ""
    values = dict.fromkeys([*layers.variables(declaration.layers), *map(nfc, declaration.axes), *SET])
    for variable in sorted(_read(text) - values.keys()):
        at = locate if name is None else partial(templates.place, name)
        yield undefined(f"'{variable}' is undefined", partial(at, _line(text, variable)), values)


def _read(text: str) -> set[str]:
    """Return the names that a template reads and never sets, without those that Jinja has."""
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 - it renders nothing
    names = {"load": set[str](), "store": set[str](), "param": set[str]()}
    for node in environment.parse(text).find_all(nodes.Name):
        names[node.ctx].add(node.name)
    return names["load"] - names["store"] - names["param"] - environment.globals.keys()


def _line(text: str, name: str) -> int:
    match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
    return text.count("\n", 0, match.start()) + 1 if match else 1
