"""Prompt sources: which axes and variables each part of a prompt came from.

Templates are compiled again with marks around the output of each `{{ … }}`. The marks are characters of a private
Unicode area; conditions and filters inside the expression do not see them. If the text without its marks differs from
the prompt, no sources are given. This happens if a filter around a whole block counts characters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import Frame

from qwenbuild.errors import ProjectError

from .action import Action
from .expand import prompts
from .project import Project
from .sandbox import Sandbox, environment
from .template import Templates
from .template_code import Counting

Segment = tuple[str, tuple[str, ...]]
"""(text, names): a part of a prompt, and the axes and variables that it came from. The template's own text has none."""

_OPEN, _SHUT = "\ue000", "\ue002"
_PLANE = 0xF0000  # names are written in characters of this private plane, so that no filter changes their case
_ARGUMENT, _CALL = "*", "("  # marks for the argument of a macro, and for a call


def of(project: Project, actions: Iterable[Action]) -> dict[str, list[Segment]]:
    """Return the prompt of each action in segments, by output path. Reads the templates again."""
    plain = Templates(project.templates, project.config.templates)
    marking = Templates(project.templates, project.config.templates, _marking)
    wanted: dict[int, dict[tuple[str, ...], Action]] = {}
    found: dict[str, list[Segment]] = {}
    for action in actions:
        wanted.setdefault(id(action.declaration), {})[action.labels] = action
        found[action.output] = [(action.request.prompt, ())]
    for cells in wanted.values():
        declaration = next(iter(cells.values())).declaration
        try:
            for labels, marked, known in prompts(marking, plain, declaration, cells):
                segments, action = _segments(marked, known), cells[labels]
                if "".join(text for text, _ in segments) == action.request.prompt:
                    found[action.output] = segments
        except ProjectError:  # the files changed since the plan
            continue
    return found


def _marking(loader: jinja2.BaseLoader) -> Sandbox:
    sandbox = environment(loader)
    sandbox.code_generator_class = _Marking
    return sandbox


class _Marking(Counting):
    """Compiles each `{{ … }}` with marks around it that name the variables that it reads."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stands_for: dict[str, set[str]] = {}  # by a name that the template sets: the variables behind it

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - Jinja finds it by this name
        marked: list[nodes.Expr] = []
        for child in node.nodes:
            names = set() if isinstance(child, nodes.TemplateData) else self._names(child)
            if not names:
                marked.append(child)
                continue
            calls = any(isinstance(call.node, nodes.Name) for call in _within(child, nodes.Call))
            written = "".join(chr(_PLANE + ord(ch)) for ch in ",".join([*([_CALL] if calls else []), *sorted(names)]))
            marked += [nodes.TemplateData(_OPEN + written), child, nodes.TemplateData(_SHUT)]
        super().visit_Output(nodes.Output(marked, lineno=node.lineno), frame)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802 - Jinja finds it by this name
        before = dict(self._stands_for)
        self._bind(node.target, self._names(node.iter))
        super().visit_For(node, frame)
        self._stands_for = before

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:  # noqa: N802 - Jinja finds it by this name
        self._bind(node.target, self._names(node.node))
        super().visit_Assign(node, frame)

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:  # noqa: N802 - Jinja finds it by this name
        before = dict(self._stands_for)
        for argument in node.args:
            self._stands_for[argument.name] = {_ARGUMENT}
        super().visit_Macro(node, frame)
        self._stands_for = before

    def _bind(self, target: nodes.Node, names: set[str]) -> None:
        for name in _within(target, nodes.Name):
            self._stands_for[name.name] = names

    def _names(self, node: nodes.Node) -> set[str]:
        return {origin for name in _within(node, nodes.Name) for origin in self._stands_for.get(name.name, {name.name})}


def _within(node: nodes.Node, kind: type[Any]) -> list[Any]:
    """Return the nodes of a kind in `node`, including `node` itself."""
    return [*([node] if isinstance(node, kind) else []), *node.find_all(kind)]


def _segments(marked: str, known: Collection[str]) -> list[Segment]:
    """Return the segments of a marked text. Only names in `known` count as axes and variables."""
    found: list[tuple[str, tuple[str, ...]]] = []
    stack: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), ())]  # sources of (text, macro arguments)
    at = 0
    while at < len(marked):
        if marked[at] == _OPEN:
            end = at + 1
            while end < len(marked) and ord(marked[end]) >= _PLANE:
                end += 1
            names = "".join(chr(ord(ch) - _PLANE) for ch in marked[at + 1 : end]).split(",")
            shown, given = stack[-1]
            own = tuple(name for name in names if name in known)
            if _ARGUMENT in names:
                own = tuple(dict.fromkeys([*own, *given]))
            stack.append((shown, own or given) if _CALL in names else (own or shown, given))
            at = end
        elif marked[at] == _SHUT:
            if len(stack) > 1:
                stack.pop()
            at += 1
        else:
            end = at
            while end < len(marked) and marked[end] not in (_OPEN, _SHUT):
                end += 1
            text, names_ = marked[at:end], stack[-1][0]
            if found and found[-1][1] == names_:
                text = found.pop()[0] + text
            found.append((text, names_))
            at = end
    return _stripped(found)


def _stripped(segments: list[Segment]) -> list[Segment]:
    """Return the segments without white space at the ends of the whole."""
    while segments and not segments[0][0].lstrip():
        segments = segments[1:]
    while segments and not segments[-1][0].rstrip():
        segments = segments[:-1]
    if segments:
        segments[0] = (segments[0][0].lstrip(), segments[0][1])
        segments[-1] = (segments[-1][0].rstrip(), segments[-1][1])
    return segments
