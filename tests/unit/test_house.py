"""The house: a package imports only what its row names, every module has a line in the guide and a test of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
HOUSE = REPOSITORY / "qwenbuild"

MAY_IMPORT = {
    # package: what it may import, beside itself and the shared nouns of the root
    "files": "",
    "local_server": "",
    "executors": "files",
    "specs": "files",
    "storage": "files",
    "providers": "files",
    "plan": "files specs storage",
    "builder": "files specs storage plan",
    "pages": "files local_server specs storage plan",
    "engine": "files local_server executors specs storage providers plan builder pages",
    "watch": "files local_server specs storage providers plan builder pages engine",
    "terminal": "files local_server specs storage providers plan builder pages engine watch",
    "emulator": "files local_server providers",
    "cli": "files local_server executors specs storage providers plan builder pages engine watch terminal emulator",
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


@cache
def imports(module: str) -> Sequence[tuple[str, str]]:
    """Return (module, name) for each import from the house, named from inside it."""
    return list(_imports(module))


def _imports(module: str) -> Iterator[tuple[str, str]]:
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


def test_a_module_imports_only_what_its_row_names() -> None:
    """Rows name only rows above them, so there are no circles."""

    def foreign(module: str) -> list[str]:
        allowed = {package(module), "", *MAY_IMPORT.get(package(module), "").split()}
        return [found for found, _ in imports(module) if package(found) not in allowed or found in DOOR]

    assert _faults(set(MODULES) - DOOR, foreign) == {}


def _faults(modules: Iterable[str], find: Callable[[str], object]) -> dict[str, object]:
    """Return what `find` finds in each module in which it finds anything."""
    return {module: found for module in sorted(modules) if (found := find(module))}


def test_rows_name_only_rows_above_them() -> None:
    """The table can be read from top to bottom."""
    order = list(MAY_IMPORT)
    assert [
        (row, name)
        for row, names in MAY_IMPORT.items()
        for name in names.split()
        if name not in order[: order.index(row)]
    ] == []


def test_nobody_outside_reaches_into_a_packages_private_names() -> None:
    """A name with an underscore belongs to its package."""

    def private(module: str) -> list[tuple[str, str]]:
        taken = [(found, name) for found, name in imports(module) if package(found) != package(module)]
        return [(found, name) for found, name in taken if re.match("_(?!_)", name)]

    assert _faults(MODULES, private) == {}


def test_a_package_is_one_docstring() -> None:
    """Only the root hands names on."""
    files = sorted(path for path in HOUSE.rglob("__init__.py") if path.parent != HOUSE)
    assert [path for path in files if not _is_one_docstring(path)] == []


def _is_one_docstring(path: Path) -> bool:
    body = ast.parse(path.read_text("utf-8")).body
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def test_lower_packages_never_print_and_never_exit() -> None:
    """They return, raise, and emit events."""

    def printing(module: str) -> set[str]:
        nodes = [*ast.walk(tree(module))]
        called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
        used = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
        return called & {"print", "input", "exit", "quit", "sys.exit", "click.echo"} | used & {
            "sys.stdout", "sys.stderr", "sys.stdin",
        }  # fmt: skip

    assert _faults([name for name in MODULES if not name.startswith(MAY_PRINT)], printing) == {}


def test_a_module_says_what_it_owns() -> None:
    """In one sentence, at its top."""
    told = {module: (ast.get_docstring(tree(module)) or "").split("\n\n")[0].rstrip() for module in MODULES}
    assert {module: text for module, text in told.items() if not text.endswith((".", ":"))} == {}


def test_every_module_has_a_test_where_the_house_has_the_module() -> None:
    """`qwenbuild/a/b.py` is tested by `tests/unit/a/test_b.py`, perhaps with others beside it."""
    expected = {name: _test_of(name) for name in MODULES}
    assert [name for name, path in expected.items() if not path.is_file()] == []


LINES = 350
FUNCTION_LINES = 60


def test_a_module_is_short() -> None:
    """At most 350 lines; a function has at most 60, unless a comment above it begins with `# Long:` and says why."""

    def long(module: str) -> list[str]:
        lines = MODULES[module].read_text("utf-8").splitlines()
        defined = [it for it in ast.walk(tree(module)) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)]
        functions = [
            node.name
            for node in defined
            if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
            and not lines[min([node.lineno, *(it.lineno for it in node.decorator_list)]) - 2]
            .strip()
            .startswith("# Long: ")
        ]
        return [f"{len(lines)} lines"] * (len(lines) > LINES) + functions

    assert _faults(MODULES, long) == {}


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


GUIDE = HOUSE / "README.md"


def test_the_guide_has_the_table() -> None:
    """Each package's row has its docstring as purpose, and names what it may import beside `files`."""
    rows = re.findall(r"^\| \[`(\w+)`\]\(#\1\) \| (.+) \| (.+) \|$", GUIDE.read_text("utf-8"), re.MULTILINE)
    found = {name: (purpose, re.findall(r"`(\w+)`", names)) for name, purpose, names in rows}
    expected = {name: (_purpose(HOUSE / name / "__init__.py"), _named(name)) for name in MAY_IMPORT}
    assert found == expected
    assert list(found) == list(MAY_IMPORT)


def _named(row: str) -> list[str]:
    """Return what the guide names in a row: `files` only if there is nothing else, nothing for "all rows above"."""
    names = [name for name in MAY_IMPORT[row].split() if name != "files"]
    is_all = [*names, "files"] == [*list(MAY_IMPORT)[1:-1], "files"]
    return [] if is_all else names or MAY_IMPORT[row].split()


def test_the_guide_has_a_line_for_each_module() -> None:
    """It is the first sentence of the module's docstring, in the section of the module's package."""
    found: dict[str, str] = {}
    package = ""
    for line in GUIDE.read_text("utf-8").splitlines():
        if line.startswith("### "):
            package = line.removeprefix("### ").replace("root", "")
        elif match := re.fullmatch(r"- `([\w/]+)\.py`: (.+)", line):
            found[".".join([*([package] if package else []), *match[1].split("/")])] = match[2]
    assert found == {module: _purpose(path) for module, path in MODULES.items()}


def _purpose(path: Path) -> str:
    told = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return told.split("\n\n")[0].replace("\n", " ")


def test_the_way_of_a_prompt_has_eight_steps_that_exist() -> None:
    """Each name in it is defined where the step says."""
    way = GUIDE.read_text("utf-8").partition("## The way of one prompt")[2].partition("\n## ")[0]
    assert re.findall(r"^(\d)\. ", way, re.MULTILINE) == list("12345678")
    places = re.findall(r"`([\w/]+)\.py:(\w+)`", way)
    missing = [
        (path, name)
        for path, name in places
        if name not in {getattr(node, "name", "") for node in tree(path.replace("/", ".")).body}
    ]
    assert (len(places) >= 8, missing) == (True, [])
