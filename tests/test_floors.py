"""The architecture: a module imports only from lower floors, and only the top floors print or exit.

Type-only imports count as any other. A new module gets a place in the table below.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "qwenbuild"

FLOORS = [
    # texts and files; the whole tree of errors
    "errors loading digest atomicfile names changes row glyphs pace outgoing interrupt snapshot",
    # what is asked for, where it is written, what is told about it
    "request turn sandbox loopback tomlfile store cloud events faults palette typeset emulator_answers",
    # models, the formats of specs and data, images and memory
    "catalogue template spec rows png state lock collect thumbnails wording retry wire",
    "emulator_faults emulator_replies",
    # a project; the contract of providers
    "remote junit project provider scaffold layout outputs credentials reconcile emulator_orders",
    # providers without a service; the parts of the one with
    "sharing axes artwork null saves spending service download emulator_bill emulator_images",
    "matrix drafter tasks emulator_service",
    "expand draft keeping flows emulator_control",
    # what is to be done
    "plan transfers selection memory verify origins sources recorder commits drafting dashscope checkup emulator_app",
    # how it is done
    "reading journal locking restoring review gallery explain emulator",
    "work report garbage doctor",
    "endings",
    "rendering",
    "builder",
    # one build from all of it, which is the Python API
    "engine preview completing",
    "__init__ console live cache arguments",
    # builds that follow the files; what a terminal shows
    "orders keys progress explaining",
    "watch",
    "watching",
    # the command
    "commands commands_cache commands_repository commands_service",
    "cli",
    "__main__",
]

FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names.split()}

MAY_PRINT = {
    "__main__", "arguments", "cli", "commands", "commands_cache", "commands_repository", "commands_service",
    "completing", "console", "explaining", "keys", "progress", "watching",
}  # fmt: skip
"""The command line, and what it is made of."""

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))


def imported(module: str) -> Iterator[str]:
    """Return the names of the package's modules that a module imports anywhere, also for types only."""
    for node in ast.walk(tree(module)):
        match node:
            case ast.ImportFrom(module=None, names=names, level=1):  # from . import x
                # The package's own version is known to everybody; it is a text at the top of `__init__`.
                yield from (alias.name for alias in names if alias.name != "__version__")
            case ast.ImportFrom(module=str(name), level=1):  # from .x import y
                yield name.partition(".")[0]
            case ast.ImportFrom(module=str(name), level=0) if name.partition(".")[0] == "qwenbuild":
                yield name.partition(".")[2] or "__init__"
            case ast.Import(names=names):
                yield from ("__init__" for alias in names if alias.name.partition(".")[0] == "qwenbuild")


def test_every_module_has_a_floor() -> None:
    """The table is complete, names nothing twice, and nothing that is not there."""
    assert sorted(name for names in FLOORS for name in names.split()) == MODULES


def test_there_are_no_packages_inside() -> None:
    """Modules are flat."""
    assert [path.parent.name for path in PACKAGE.rglob("*/__init__.py")] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_lower_floors(module: str) -> None:
    """So there are no cycles, and what is below can be read without what is above."""
    assert [name for name in imported(module) if FLOOR[name] >= FLOOR[module]] == []


def test_only_the_command_line_knows_the_emulator() -> None:
    """It stands beside the engine: a build never meets it but over HTTP."""
    users = {module for module in MODULES if any(name.startswith("emulator") for name in imported(module))}
    assert {module for module in users if not module.startswith("emulator")} <= {"commands_service", "console"}


@pytest.mark.parametrize("module", [module for module in MODULES if module not in MAY_PRINT])
def test_lower_floors_never_print_and_never_exit(module: str) -> None:
    """They return, raise, and emit events."""
    called = {ast.unparse(node.func) for node in ast.walk(tree(module)) if isinstance(node, ast.Call)}
    used = {ast.unparse(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert called & {"print", "input", "exit", "quit", "sys.exit", "click.echo"} == set()
    assert used & {"sys.stdout", "sys.stderr", "sys.stdin"} == set()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_owns(module: str) -> None:
    """In one sentence, at its top."""
    told = ast.get_docstring(tree(module))
    assert told
    assert told.split("\n\n")[0].rstrip().endswith((".", ":"))
