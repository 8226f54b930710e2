"""Planning: it narrows the selection, and changes nothing."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.engine.engine import Engine
from qwenbuild.engine.planning import make_plan
from qwenbuild.options import Options
from qwenbuild.plan.plan import Plan, Verdict
from qwenbuild.specs.project import find
from tests.support.workspace import Workspace

SPEC = """\
[image.a]
prompt = "a red ball"
seed = 1
[image.b]
prompt = "a red ball"
seed = 1
[image.c]
prompt = "c"
"""


@pytest.fixture
def place(project: Workspace) -> Workspace:
    """A project of three images, of which two are equal."""
    return project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": SPEC})


def test_planning_changes_nothing(place: Workspace) -> None:
    """Planning writes, creates and removes nothing, in the project and in the store."""
    assert load(place.root).plan().count(Verdict.RENDER) == 2
    assert sorted(path.name for path in place.root.iterdir()) == ["qwenbuild.toml", "specs"]
    load(place.root).build()
    place.write({"specs/s.toml": SPEC.replace("red", "blue"), "out/s/c.png": "mine"})
    roots = [place.root, load(place.root).store.root]
    before = [tree(root) for root in roots]
    load(place.root, force=True).plan()
    load(place.root).plan()
    assert [tree(root) for root in roots] == before


def tree(root: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, size and time of every file; only the inode of folders, because SQLite makes temporary files."""
    found = {str(path): os.lstat(path) for path in root.rglob("*")}
    return {
        name: (it.st_ino, it.st_size, it.st_mtime_ns) if stat.S_ISREG(it.st_mode) else (it.st_ino, 0, 0)
        for name, it in found.items()
    }


def test_narrowing_to_outputs_and_keys(place: Workspace) -> None:
    """A plan can be narrowed to output paths and to keys; a narrowed plan has no orphans."""
    load(place.root).build()
    place.write({"specs/s.toml": SPEC.replace("[image.c]", "[image.d]")})
    engine = load(place.root)
    with engine.state() as state:
        whole = make_plan(engine, state)
        by_output = make_plan(engine, state, outputs={"s/b.png", "s/nosuch.png"})
        by_key = make_plan(engine, state, keys={whole.steps[0].action.key})
    assert [orphan.path for orphan in whole.orphans] == ["s/c.png"]
    assert ([step.action.name for step in by_output.steps], by_output.orphans) == (["s/b"], [])
    assert ([step.action.name for step in by_key.steps], by_key.orphans) == (["s/a", "s/b"], [])
    assert len(by_key.actions) == len(by_output.actions) == len(whole.actions) == 3


@pytest.mark.parametrize("some", [Options(tags=["web"]), Options(exclude=["s/c"]), Options(where=["seed!=1"])])
def test_a_selection_finds_no_orphans(place: Workspace, some: Options) -> None:
    """A plan of some cells says nothing about outputs that it was not asked for."""
    place.write({"specs/s.toml": SPEC + 'tags = ["web"]\n'})
    load(place.root).build()
    place.write({"specs/s.toml": SPEC.replace("image.b", "image.d") + 'tags = ["web"]\n'})
    assert [orphan.path for orphan in load(place.root).plan().orphans] == ["s/b.png"]
    assert load(place.root, some).plan().orphans == []


def test_a_tag_changes_no_key(place: Workspace) -> None:
    """Tags are for selections only: nothing is rendered again."""
    load(place.root).build()
    place.write({"specs/s.toml": SPEC + 'tags = ["web", "hero"]\n'})
    assert load(place.root).build().up_to_date == 3


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_collection_is_as_before(place: Workspace, is_enabled: bool) -> None:
    """Planning leaves garbage collection on or off, as it was."""
    was_enabled = gc.isenabled()
    (gc.enable if is_enabled else gc.disable)()
    try:
        load(place.root).plan()
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_a_plan_loads_nothing_of_a_build(place: Workspace) -> None:
    """A plan imports neither asyncio nor the builder, which take longer to load than a small plan takes."""
    code = f"import sys, qwenbuild; qwenbuild.load({str(place.root)!r}).plan(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = ("asyncio", "httpx", "PIL", "rich", "starlette")
    assert [name for name in ran.stdout.split() if name in heavy or name.startswith("qwenbuild.builder.")] == []


def test_a_missing_key_is_told_before_anything_is_paid(project: Workspace) -> None:
    """Only if something would be paid for; a build tells it itself."""
    project.write({"qwenbuild.toml": "", "specs/a.toml": '[image.a]\nprompt = "a"\n'})

    def plan(**given: str) -> Plan:
        options = Options(provider=given.pop("provider", None))
        environ = {"HOME": str(project.root), "QWENBUILD_CACHE_DIR": os.environ["QWENBUILD_CACHE_DIR"], **given}
        return Engine(find(project.root, environ), options, environ).plan()

    assert [problem.claim for problem in plan().advice] == [
        "no API key for the provider dashscope: a build can't render what costs money"
    ]
    assert plan().warnings == ()
    assert plan(DASHSCOPE_API_KEY="sk-1").advice == []
    assert plan(provider="null").advice == []
