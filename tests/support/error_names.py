"""The names of errors in the source: each construction of an error with its name, and those that have none."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from qwenbuild import errors

SOURCE = Path(errors.__file__).parent

OF_PROBLEMS = {"ProjectError", "Untrusted", "WrongSettings"}
"""Errors that have the names of the problems that they are made of."""

GENERAL = {"QwenbuildError", "UsageError", "LockError", "ProviderError", "Refused", "ModelRefused", "AccountError"}
"""Classes whose own name says too little: it is for plugins. In qwenbuild, each of their errors has a name."""

PLAIN = {"Problem": 6, "Finding": 5, "Rule": 3}
"""What is no error, but has a name: the name's place among the arguments."""

CLASSES = {name for name, it in vars(errors).items() if isinstance(it, type) and issubclass(it, errors.QwenbuildError)}


class Module:
    """One module: what it constructs, and which of its functions take the name of an error."""

    def __init__(self, name: str, text: str) -> None:
        """`name` is dotted, below the package, such as `specs.rows`."""
        self.name, self.tree = name, ast.parse(text)
        self._within = {node: above for above in ast.walk(self.tree) for node in ast.iter_child_nodes(above)}

    @cached_property
    def own(self) -> dict[str, str]:
        """The classes that the module derives from errors, with their names; "" for one that inherits its name."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if bases & (CLASSES | found.keys()):
                    found[node.name] = next(filter(None, map(_class_name, node.body)), "")
        return found

    @cached_property
    def _constants(self) -> dict[str, ast.expr]:
        """The constants of the module, by name."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    found[name] = value
        return found

    @cached_property
    def helpers(self) -> set[str]:
        """The functions that give an error the name that their caller gives them, as `name=`."""
        found = set()
        for call in self._constructions:
            name, function = self._given(call), self._function(call)
            if isinstance(name, ast.Name) and function is not None and name.id in _parameters(function):
                found.add(function.name)
        return found

    @cached_property
    def imports(self) -> dict[str, str]:
        """What the module imports from other modules of the package: name and module."""
        here = ["qwenbuild", *self.name.split(".")]
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                above = [*here[: len(here) - node.level]] if node.level else []
                origin = ".".join([*above, *([node.module] if node.module else [])]).removeprefix("qwenbuild.")
                found |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
        return found

    @cached_property
    def _constructions(self) -> list[ast.Call]:
        shadowed = {node.name for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)} - self.own.keys()
        known = (CLASSES | self.own.keys() | PLAIN.keys()) - OF_PROBLEMS - (shadowed - PLAIN.keys())
        return [it for it in ast.walk(self.tree) if isinstance(it, ast.Call) and _called(it) in known]

    def given(self, helpers: set[str]) -> Iterator[tuple[ast.Call, Sequence[str] | None]]:
        """Yield each construction, and each call of a helper, with its names; None if it has none.

        A name that is handed on, such as `error.name`, is no name of its own. `helpers` are those of all modules, as
        `module.function`.
        """
        own = {*self.helpers, *(name for name, origin in self.imports.items() if origin in helpers)}
        for call in self._constructions:
            kind = _called(call)
            if kind == "Finding" and any(ast.unparse(it) == "Level.OK" for it in call.args):
                continue
            name = self._given(call)
            needs = kind in GENERAL | PLAIN.keys() or (kind in self.own and not self.own[kind])
            handed = isinstance(name, ast.Name) and name.id in _parameters(self._function(call))
            yield call, () if handed else _names(name, needs=needs and not _has_all(call))
        for node in ast.walk(self.tree):
            called = node.args[0] if isinstance(node, ast.Call) and _called(node) == "partial" else node
            called = called.func if isinstance(called, ast.Call) else called
            word = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            if isinstance(node, ast.Call) and word in own and word not in _parameters(self._function(node)):
                yield node, _names(_keyword(node), needs=True)

    def _given(self, call: ast.Call) -> ast.expr | None:
        at = PLAIN.get(_called(call), len(call.args))
        name = _keyword(call) or (call.args[at] if at < len(call.args) else None)
        return self._constants.get(name.id, name) if isinstance(name, ast.Name) else name

    def _function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        while (above := self._within.get(node)) is not None:
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
                return above
            node = above
        return None


def modules() -> list[Module]:
    """Return all modules of the package."""
    paths = sorted(SOURCE.rglob("*.py"))
    return [Module(".".join(path.relative_to(SOURCE).with_suffix("").parts), path.read_text("utf-8")) for path in paths]


def examined(found: Sequence[Module]) -> tuple[set[str], list[str]]:
    """Return the names of errors in modules, and the places of errors without one."""
    helpers = {f"{module.name}.{function}" for module in found for function in module.helpers}
    used, nameless = {getattr(errors, kind).name for kind in CLASSES}, list[str]()
    for module in found:
        used |= {name for name in module.own.values() if name}
        for call, names in module.given(helpers):
            used.update(names or ())
            if names is None:
                place = f"qwenbuild/{module.name.replace('.', '/')}.py:{call.lineno}"
                nameless.append(f"{place}: {ast.unparse(call.func)} needs name=, a name of error_entries.toml")
    return used, nameless


def _called(call: ast.Call) -> str:
    function = call.func
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def _keyword(call: ast.Call) -> ast.expr | None:
    return next((it.value for it in call.keywords if it.arg == "name"), None)


def _has_all(call: ast.Call) -> bool:
    """Return whether the call takes all its arguments from a table: `Problem(**found)`."""
    return any(it.arg is None for it in call.keywords)


def _names(name: ast.expr | None, *, needs: bool) -> Sequence[str] | None:
    match name:
        case None:
            return None if needs else ()
        case ast.Constant(value=str(text)) if text:
            return (text,)
        case ast.IfExp(body=body, orelse=other):
            both = [_names(body, needs=True), _names(other, needs=True)]
            return None if None in both else [text for each in both for text in each or ()]
        case ast.Attribute(attr="name" | "rule"):
            return ()
    return None


def _class_name(node: ast.stmt) -> str:
    match node:
        case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(text))):
            return text
    return ""


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | None) -> set[str]:
    if function is None:
        return set()
    return {it.arg for it in (*function.args.args, *function.args.kwonlyargs)}
