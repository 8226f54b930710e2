"""The code of templates: refuses sources that are too long or too deep, and compiles all others into counted code.

A loop counts its rounds times the size of its body before it begins, so a template without loops, macros and long texts
runs as fast as without limits. Nothing is computed while a template is compiled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, MacroRef
from jinja2.exceptions import TemplateSyntaxError
from jinja2.meta import TrackingCodeGenerator

from qwenbuild.files.text import nfc

from .limits import LONG, MAX_DIGITS
from .plain_values import SIMPLE

MAX_SOURCE = 100_000
"""The longest template, in characters."""

MAX_TOKENS = 10_000
"""The most names, numbers, texts and operators of one template."""

MAX_BRACKETS = 30
"""The most brackets of one expression inside each other; signs and `not` in a row count as well."""

MAX_TAGS = 15
"""The most tags inside each other, such as loops, conditions and blocks."""

MAX_PARTS = 90
"""The most operators, filters, calls and fields on top of each other in one expression."""

_OPENING = frozenset({"lparen", "lbracket", "lbrace"})
_CLOSING = frozenset({"rparen", "rbracket", "rbrace"})
_SIGNS = frozenset({"add", "sub"})
_DATA = frozenset({"data", "whitespace"})
_BODIES = (
    nodes.For,
    nodes.If,
    nodes.Macro,
    nodes.CallBlock,
    nodes.FilterBlock,
    nodes.With,
    nodes.Block,
    nodes.AssignBlock,
)

Token = tuple[int, str, str]
"""(line, kind, text), as Jinja's lexer makes them."""


class NestedTooDeeply(TemplateSyntaxError):
    """A template has brackets, tags or operators inside each other beyond the limit."""


def checked_tokens(tokens: Iterable[Token], name: str | None, filename: str | None) -> Iterator[Token]:
    """Yield the tokens of a template; raises TemplateSyntaxError if there are too many, or if a number is too long."""
    number = 0
    for token in tokens:
        line, kind, text = token
        if kind not in _DATA:
            number += 1
            if number > MAX_TOKENS:
                raise TemplateSyntaxError(
                    f"the template has more than {MAX_TOKENS:,} names, texts, numbers and operators",
                    line,
                    name,
                    filename,
                )
            if kind in ("integer", "float") and len(text) > MAX_DIGITS:
                raise TemplateSyntaxError(f"a number has more than {MAX_DIGITS:,} digits", line, name, filename)
            if kind == "name" and not text.isascii():
                token = line, kind, nfc(text)  # a keyboard and a file may spell one name in two forms of Unicode
        yield token


def checked_nesting(tokens: Iterable[Any], name: str | None, filename: str | None) -> Iterator[Any]:
    """Yield the tokens of a template for its parser; raises NestedTooDeeply, before Python's stack is full."""
    depth = signs = 0
    for token in tokens:
        kind = token.type
        if kind in _OPENING:
            depth += 1
        elif kind in _CLOSING:
            depth -= 1
        signs = signs + 1 if kind in _SIGNS or (kind == "name" and token.value == "not") else 0
        if depth + signs > MAX_BRACKETS:
            raise NestedTooDeeply(f"more than {MAX_BRACKETS} brackets inside each other", token.lineno, name, filename)
        yield token


def check_tree(tree: nodes.Template, name: str | None, filename: str | None) -> None:
    """Raise NestedTooDeeply if the tags or expressions of a parsed template are too deep."""
    stack: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]  # (node, tags around it, expressions around it)
    while stack:
        node, tags, parts = stack.pop()
        if isinstance(node, _BODIES):
            tags += 1
        if isinstance(node, nodes.Expr):
            parts += 1
        else:
            parts = 0
        if tags > MAX_TAGS:
            raise NestedTooDeeply(f"more than {MAX_TAGS} tags inside each other", node.lineno, name, filename)
        if parts > MAX_PARTS:
            claim = f"more than {MAX_PARTS} operators, filters or calls on top of each other"
            raise NestedTooDeeply(claim, node.lineno, name, filename)
        if isinstance(node, nodes.EvalContextModifier):
            raise TemplateSyntaxError("autoescape writes HTML, but a prompt is plain text", node.lineno, name, filename)
        stack += [(child, tags, parts) for child in node.iter_child_nodes()]


def steps_of(body: Iterable[nodes.Node]) -> int:
    """Return the steps of running a body once: its nodes, without those that count themselves."""
    steps, stack = 0, list(body)
    while stack:
        node = stack.pop()
        steps += 1
        if isinstance(node, nodes.For):
            stack += [node.iter, *node.else_]
        elif isinstance(node, nodes.Macro | nodes.CallBlock):
            stack += [*node.defaults, *([node.call] if isinstance(node, nodes.CallBlock) else [])]
        elif not isinstance(node, nodes.Block):
            stack += node.iter_child_nodes()
    return steps


class _Unfolded(CodeGenerator):
    """Compiles without computing: Jinja runs filters of constants while it compiles."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.optimizer = None

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData | nodes.Const):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class _Reading(_Unfolded, TrackingCodeGenerator):
    """Finds the variables that a template reads."""


def variables(tree: nodes.Template) -> frozenset[str]:
    """Return the variables that a template reads and does not set."""
    found = _Reading(tree.environment)
    found.visit(tree)
    return frozenset(found.undeclared_identifiers)


class Counting(_Unfolded):
    """Compiles a template into code that counts what it takes, with the operators of the environment."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802 - as Jinja calls it
        self._uncounted: list[int] | None = None  # the steps of each block whose function is not yet begun
        for loop in node.find_all(nodes.For):
            self._count(loop, "iter", 1 + steps_of(loop.body) + (steps_of([loop.test]) if loop.test else 0))
        for call in node.find_all((nodes.Call, nodes.Filter, nodes.Test)):
            for field in ("dyn_args", "dyn_kwargs"):
                if getattr(call, field) is not None:
                    self._count(call, field, 1)
        super().visit_Template(node, frame)
        self.writeline(f"steps = {sum(steps_of(block.body) for block in self.blocks.values()) + steps_of(node.body)}")

    def _count(self, node: nodes.Node, field: str, steps: int) -> None:
        """Have the items of an expression counted, each as this many steps."""
        rounds = nodes.EnvironmentAttribute("rounds", lineno=node.lineno, environment=self.environment)
        items = getattr(node, field)
        arguments = [items, nodes.Const(steps, lineno=node.lineno, environment=self.environment)]
        counted = nodes.Call(rounds, arguments, [], None, None, lineno=items.lineno, environment=self.environment)
        setattr(node, field, counted)

    def write_commons(self) -> None:
        """Begin a function: the template's own, then that of each block, which counts its steps."""
        super().write_commons()
        if self._uncounted is None:
            self._uncounted = [steps_of(block.body) for block in self.blocks.values()]
        else:
            self.writeline(f"environment.meter.spend({self._uncounted.pop(0)})")

    def macro_def(self, macro_ref: MacroRef, frame: Frame) -> None:
        """Write the macro object, with the steps of one call."""
        names = "".join(f"{argument.name!r}, " for argument in macro_ref.node.args)
        self.write(
            f"Macro(environment, macro, {getattr(macro_ref.node, 'name', None)!r}, ({names}), "
            f"{macro_ref.accesses_kwargs!r}, {macro_ref.accesses_varargs!r}, {macro_ref.accesses_caller!r}, "
            f"False, {steps_of(macro_ref.node.body)})"
        )

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802
        if isinstance(node.node, nodes.EnvironmentAttribute):
            self.write(f"environment.{node.node.name}(")
            self.visit(node.args[0], frame)
            self.write(f", {node.args[1].value})")  # type: ignore[attr-defined]  # a constant, see `_count`
            return
        self.write("environment.call(context, ")
        self.visit(node.node, frame)
        self.signature(node, frame, {"caller": "caller"} if forward_caller else None)
        self.write(")")

    def _operator(self, function: str, node: nodes.BinExpr, frame: Frame) -> None:
        self.write(f"environment.{function}(")
        self.visit(node.left, frame)
        self.write(", ")
        self.visit(node.right, frame)
        self.write(")")

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802
        if _is_small(node.left) or _is_small(node.right):  # such as loop.index + 1
            self._written(node.left, "+", node.right, frame)
        else:
            self._operator("plus", node, frame)

    def visit_Sub(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802
        if _is_small(node.left) or _is_small(node.right):
            self._written(node.left, "-", node.right, frame)
        else:
            self._operator("minus", node, frame)

    def _written(self, left: nodes.Expr, sign: str, right: nodes.Expr, frame: Frame) -> None:
        self.write("(")
        self.visit(left, frame)
        self.write(f" {sign} ")
        self.visit(right, frame)
        self.write(")")

    def visit_Mul(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802
        self._operator("times", node, frame)

    def visit_Pow(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802
        self._operator("power", node, frame)

    def visit_Mod(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802
        self._operator("modulo", node, frame)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        pairs = zip(sides, node.ops, strict=False)
        if all(_is_plain_comparison(left, operand) for left, operand in pairs):
            super().visit_Compare(node, frame)
            return
        self.write("(")
        left: nodes.Expr | str = node.expr
        for number, operand in enumerate(node.ops):
            if number:
                self.write(" and ")
            if operand.op == "notin":
                self.write("not ")
            if operand.op in ("in", "notin"):
                self.write("environment.contains(")
            else:
                self.write(f"environment.compare({operand.op!r}, ")
            if isinstance(left, str):
                self.write(left)
            else:
                self.visit(left, frame)
            self.write(", ")
            if number + 1 < len(node.ops):  # the next comparison takes this value, which is computed once
                left = self.temporary_identifier()
                self.write(f"({left} := ")
                self.visit(operand.expr, frame)
                self.write(")")
            else:
                self.visit(operand.expr, frame)
            self.write(")")
        self.write(")")

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:  # noqa: N802
        if isinstance(node.value, float) and not math.isfinite(node.value):  # Jinja would write it as a name
            self.fail("a number is too large", node.lineno)
        super().visit_Const(node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.sliced(")
        self.visit(node.node, frame)
        for part in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            self.visit(part or nodes.Const(None), frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self.write("{")
        for pair in node.items:
            if isinstance(pair.key, nodes.Const):
                self.visit(pair.key, frame)
            else:
                self.write("environment.key(")
                self.visit(pair.key, frame)
                self.write(")")
            self.write(": ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")


def _is_small(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Const) and type(node.value) in (int, float)


def _is_plain_comparison(left: nodes.Expr, operand: nodes.Operand) -> bool:
    """Return whether a comparison takes no time worth counting: one side is a short constant."""
    right = operand.expr
    if operand.op in ("in", "notin"):
        return isinstance(right, nodes.List | nodes.Tuple) and all(map(_is_constant, right.items))
    return _is_constant(left) or _is_constant(right)


def _is_constant(node: nodes.Expr) -> bool:
    if not isinstance(node, nodes.Const):
        return False
    return type(node.value) in SIMPLE or (isinstance(node.value, str) and len(node.value) <= LONG)
