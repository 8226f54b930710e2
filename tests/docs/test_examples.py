"""The examples of the documentation run: commands, specs, configs and Python.

In a `console` block the lines that begin with `$ ` are run, except for an installation. The other lines are the
expected output, in which `…` stands for any text. See `pages` for the comments before a block.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.engine import scaffold
from qwenbuild.specs import user_config
from tests.support import nursery
from tests.support.workspace import Workspace

from .pages import REPOSITORY, Block, blocks, every_block, pages, prose, shown, start_of

RUN = ("console", "toml", "python")
ELSEWHERE = ("docs/reference/errors.md", "docs/tutorial.md", "docs/README.zh.md")
"""Pages with tests of their own: the errors are made from entries, the tutorial needs a terminal, the Chinese README
has the blocks of the English one."""
WITH_COMMANDS = [
    page
    for page in pages()
    if shown(page) not in ELSEWHERE
    and any(it.language in ("console", "python") and not it.reason for it in blocks(page))
]
END = "--- next block ---\n"


def project_of(page: Path, folder: Path) -> Path:
    """Make the folder in which the commands of a page start, and return it."""
    start = start_of(page)
    place = folder / (start or "work")
    if start == "posters":
        scaffold.write(place)
    elif start == "clone":
        for name in ("specs", "templates"):
            shutil.copytree(REPOSITORY / name, place / name)
        shutil.copy(REPOSITORY / "qwenbuild.toml", place)
    else:
        place.mkdir()
    if start:
        config = place / "qwenbuild.toml"
        config.write_text(quick(config.read_text("utf-8")), "utf-8")
    return place


def quick(text: str) -> str:
    """Return a config with plain images in place of drafts, which take ten times as long. Other tests have drafts."""
    return text.replace('provider = "draft"', 'provider = "null"', 1)


def test_every_block_is_run_or_says_why_not() -> None:
    """Every block is in a language that these tests run, or is a file, or says why it is not run."""
    found = [block for page in pages() for block in blocks(page) if shown(page) not in ELSEWHERE]
    assert [it.place for it in found if not (it.language in RUN or it.file or it.reason)] == []


def test_readers_know_where_each_file_belongs() -> None:
    """The text of a page, or the first line of the block, names each file that the tests write."""
    files = [it for page in pages() for it in blocks(page) if it.file]
    assert [
        it.place for it in files if it.file not in it.text.split("\n")[0] and f"`{it.file}`" not in prose(it.page)
    ] == []


@pytest.mark.timeout(400)  # the page with the most commands builds all worked examples
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=shown)
def test_commands(page: Path, tmp_path: Path) -> None:
    """All commands of a page run in one shell, one after another, and print what the page shows, on both streams."""
    folder = project_of(page, tmp_path)
    lines, run = ["set -e"], list[Block]()
    for number, block in enumerate(it for it in blocks(page) if not it.reason):
        if block.file:
            source = tmp_path / f"file-{number}"
            source.write_text(quick(block.text), "utf-8")
            lines.append(f"install -D -m 644 {shlex.quote(str(source))} {shlex.quote(block.file)}")
        elif block.language == "console":
            lines += [*block.commands, f"printf %s {shlex.quote(END)}"]
            run.append(block)
        elif block.language == "python":
            lines += [f"python -c {shlex.quote(block.text)} > /dev/null"]
    path = os.pathsep.join([str(nursery.stub()), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=folder, env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    printed = done.stdout.split(END)
    at = run[min(len(printed), len(run)) - 1].place if run else shown(page)
    assert done.returncode == 0, f"{at}\n{printed[-1]}"
    for block, found in zip(run, printed, strict=False):
        pattern = ".*".join(map(re.escape, block.output.split("…")))
        assert not block.output or re.fullmatch(pattern, found, re.DOTALL), f"{block.place}: {found}"


def test_specs_and_configs(tmp_path: Path) -> None:
    """Each TOML block that is no file of a page's project can be planned as it is, or is the user's own config.

    A spec is planned with the provider of the config that stands above it on its page.
    """
    own = user_config.path()
    assert own
    own.parent.mkdir(parents=True)
    above: dict[Path, str] = {}
    for number, block in enumerate(it for it in every_block("toml") if not it.file):
        if is_users(block):
            own.write_text(block.text, "utf-8")
            said = user_config.read()
            assert said.of_provider("dashscope").sole_user or said.trust, block.place
            own.unlink()
            continue
        files = {"specs/poster.toml": '[image.x]\nprompt = "p"\n', "templates/poster.j2": "{{ brand }} {{ palette }}"}
        if is_spec(block):
            files |= {"specs/poster.toml": block.text, "qwenbuild.toml": above.get(block.page, 'provider = "null"\n')}
        else:
            files["qwenbuild.toml"] = block.text
            if re.search("^provider = ", block.text, re.MULTILINE):
                above[block.page] = block.text
        place = Workspace(tmp_path / str(number)).write(files)
        assert load(place.root).plan().renders != [], block.place


def is_spec(block: Block) -> bool:
    """Return whether a TOML block is a spec, and not a config."""
    return block.file.startswith("specs/") if block.file else "[image." in block.text


def is_users(block: Block) -> bool:
    """Return whether a TOML block is the user's own config."""
    return "sole_user" in block.text or "[trust." in block.text
