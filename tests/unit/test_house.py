"""The house: a package imports only what its row names, every module has a line in the guide and a test of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HOUSE = REPOSITORY / "qwenbuild"

MAY_IMPORT = {
    # package: what it may import, beside itself and the shared nouns of the root
    "files": "",
    "local_server": "",
    "specs": "files",
    "storage": "files",
    "providers": "files",
    "plan": "files specs storage",
    "builder": "files specs storage plan",
    "pages": "files local_server specs storage plan",
    "engine": "files local_server specs storage providers plan builder pages",
    "watch": "files local_server specs storage providers plan builder pages engine",
    "terminal": "files local_server specs storage providers plan builder pages engine watch",
    "emulator": "files local_server providers",
    "cli": "files local_server specs storage providers plan builder pages engine watch terminal emulator",
}
"""Type-only imports count. The root's nouns import each other alone; only the door imports from everywhere."""

DOOR = {"__init__", "__main__"}
MAY_PRINT = ("__main__", "cli.", "terminal.")

MODULES = {
    ".".join(path.relative_to(HOUSE).with_suffix("").parts): path
    for path in sorted(HOUSE.rglob("*.py"))
    if path.name != "__init__.py" or path.parent == HOUSE
}


def package(module: str) -> str:
    """Return the package of a module, named from inside the house; "" for the root."""
    return module.partition(".")[0] if "." in module else ""


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def imports(module: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for each import from the house, named from inside it."""
    here = ("qwenbuild." + module).split(".")
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found = [(origin, alias.name) for alias in node.names]
        else:
            continue
        for origin, name in found:
            if origin.partition(".")[0] == "qwenbuild":
                inside = origin.partition(".")[2]
                whole = f"{inside}.{name}" if inside else name
                yield (whole, "") if whole in MODULES else (inside or "__init__", name)


def test_the_table_names_every_package() -> None:
    """A new folder gets a row."""
    assert sorted(MAY_IMPORT) == sorted({package(module) for module in MODULES} - {""})


@pytest.mark.parametrize("module", sorted(set(MODULES) - DOOR))
def test_a_module_imports_only_what_its_row_names(module: str) -> None:
    """Rows name only rows above them, so there are no circles."""
    allowed = {package(module), "", *MAY_IMPORT.get(package(module), "").split()}
    assert [found for found, _ in imports(module) if package(found) not in allowed or found in DOOR] == []


def test_rows_name_only_rows_above_them() -> None:
    """The table can be read from top to bottom."""
    order = list(MAY_IMPORT)
    assert [
        (row, name)
        for row, names in MAY_IMPORT.items()
        for name in names.split()
        if name not in order[: order.index(row)]
    ] == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nobody_outside_reaches_into_a_packages_private_names(module: str) -> None:
    """A name with an underscore belongs to its package."""
    taken = [(found, name) for found, name in imports(module) if package(found) != package(module)]
    assert [(found, name) for found, name in taken if re.match("_(?!_)", name)] == []


def test_a_package_is_one_docstring() -> None:
    """Only the root hands names on."""
    files = sorted(path for path in HOUSE.rglob("__init__.py") if path.parent != HOUSE)
    assert [path for path in files if not _is_one_docstring(path)] == []


def _is_one_docstring(path: Path) -> bool:
    body = ast.parse(path.read_text("utf-8")).body
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(MAY_PRINT)])
def test_lower_packages_never_print_and_never_exit(module: str) -> None:
    """They return, raise, and emit events."""
    called = {ast.unparse(node.func) for node in ast.walk(tree(module)) if isinstance(node, ast.Call)}
    used = {ast.unparse(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    assert called & {"print", "input", "exit", "quit", "sys.exit", "click.echo"} == set()
    assert used & {"sys.stdout", "sys.stderr", "sys.stdin"} == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_says_what_it_owns(module: str) -> None:
    """In one sentence, at its top."""
    told = ast.get_docstring(tree(module)) or ""
    assert told.split("\n\n")[0].rstrip().endswith((".", ":"))


def test_every_module_has_a_test_where_the_house_has_the_module() -> None:
    """`qwenbuild/a/b.py` is tested by `tests/unit/a/test_b.py`, perhaps with others beside it."""
    expected = {name: _test_of(name) for name in MODULES}
    assert [name for name, path in expected.items() if not path.is_file()] == []


def _test_of(module: str) -> Path:
    *folders, name = module.split(".")
    return REPOSITORY.joinpath("tests", "unit", *folders, f"test_{name.strip('_')}.py")


def test_every_unit_test_has_its_module() -> None:
    """`test_b.py`, or `test_b_more.py`, tests a module `b` of the same folder."""
    strangers = []
    for path in sorted((REPOSITORY / "tests" / "unit").rglob("test_*.py")):
        folder = path.parent.relative_to(REPOSITORY / "tests" / "unit")
        names = [module.stem.strip("_") for module in (HOUSE / folder).glob("*.py")]
        if not any(path.stem == f"test_{name}" or path.stem.startswith(f"test_{name}_") for name in names):
            strangers.append(path.relative_to(REPOSITORY).as_posix())
    assert strangers == ["tests/unit/test_house.py"]
