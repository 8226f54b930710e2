"""The folders of the benchmarks: projects of N cells, and the same N outputs for other tools."""

from __future__ import annotations

import csv
import io
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .measure import BIN, qwenbuild

WORDS = (
    "a small dog", "runs after", "its ball", "across the wet meadow", "in soft morning light", "from the left", "with",
    "low hills", "far behind", "and much empty sky", "清晨的草地上", "一只小狗追着球跑", "柔和的光线", "远处的山丘",
    "宁静的画面",
)  # fmt: skip
STYLES = ("fresh greens", "sunset oranges", "sea blues", "warm greys", "deep reds")
TEMPLATE = (
    "A poster of {{ row.title }}: {{ row.text }}. At its top the words “{{ row.title }}” in large, friendly letters, "
    "in tones of {{ row.style }}. A calm composition, fine detail, natural colours, a slight grain as of film."
)
"""Makes prompts of 300 to 800 characters, some of them Chinese, from the rows of a table."""

_SHARED = (
    "A poster of a small dog in tones of {{ row.style }}: 清晨的草地上，一只小狗追着球跑。 "
    "At its top the words “Come Play Ball!” in large, friendly letters. Soft morning light from the left, dew on "
    "the grass, low hills far behind, a calm composition with much empty sky, fine detail in the fur, natural colours, "
    "a slight grain as of film."
)  # the same prompt for all rows with one style


def rows(count: int, columns: int = 0, *, with_id: bool = True, newline: bool = False) -> Iterator[dict[str, str]]:
    """Yield rows as people have them, the same ones in each process."""
    chance = random.Random(1)
    for number in range(count):
        title = f"Title {number}" + (" of\ntwo lines" if newline else "")
        row = {"id": f"r{number:06}"} if with_id else {}
        row |= {"title": title, "text": " ".join(chance.choices(WORDS, k=14)), "style": STYLES[number % len(STYLES)]}
        yield row | {f"column{index}": f"value {number}" for index in range(columns)}


def csv_text(table: Iterable[Mapping[str, str]], delimiter: str = ",") -> str:
    """Return rows as the text of a CSV file."""
    text = io.StringIO(newline="")
    first, *others = table
    writer = csv.DictWriter(text, [*first], delimiter=delimiter)
    writer.writeheader()
    writer.writerows([first, *others])
    return text.getvalue()


@dataclass(frozen=True)
class Project:
    """A qwenbuild project below `root`, with a store of its own."""

    root: Path
    store: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which its commands run."""
        own = {"QWENBUILD_CACHE_DIR": str(self.store), "QWENBUILD_TRUST_PROJECT": "1"}
        return {**own, "PYTHONDONTWRITEBYTECODE": ""}

    def write(self, files: Mapping[str, str]) -> Project:
        """Write files; return the project."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="")
        return self

    def run(self, *arguments: str) -> None:
        """Run a command that is not measured."""
        with open(self.root / "setup.log", "wb") as log:
            environ = {**os.environ, **self.environ}
            subprocess.run(qwenbuild(*arguments), cwd=self.root, env=environ, stdout=log, stderr=log, check=True)

    def sibling(self, name: str) -> Project:
        """Return a new checkout of the project, without outputs and state, that shares its store."""
        root = self.root.parent / name
        for part in ("specs", "templates", "data"):
            shutil.copytree(self.root / part, root / part)
        shutil.copy(self.root / "qwenbuild.toml", root)
        return Project(root, self.store)


def project(folder: Path, cells: int, *, config: str = 'provider = "null"', same: bool = False) -> Project:
    """Write a project of `cells` cells, one for each row of a table; with `same`, all share five different images."""
    spec = 'seed = 1\nsize = "1:1"\n[image.poster]\ntemplate = "poster.j2"\n[image.poster.matrix]\n'
    made = Project(folder / "project", folder / "store")
    return made.write({
        "qwenbuild.toml": f"max_renders = 1_000_000\n{config}\n",
        "specs/poster.toml": f'{spec}row = {{ file = "../data/rows.csv" }}\n',
        "data/rows.csv": csv_text(rows(cells)),
        "templates/poster.j2": _SHARED if same else TEMPLATE,
    })  # fmt: skip


def built(folder: Path, cells: int, *, same: bool = True) -> Project:
    """Return a project whose builds have nothing left to do."""
    if same:  # after the five images are rendered, all other outputs are restored, which is quicker
        project(folder, len(STYLES), same=True).run("build")
    made = project(folder, cells, same=same)
    made.run("build")
    time.sleep(0.2)  # no snapshot is written for inputs younger than 50 ms
    made.run("build")
    return made


@dataclass(frozen=True)
class Tool:
    """Another build tool in its own folder: its outputs depend on one input, and are up to date."""

    root: Path
    command: tuple[str, ...]

    @classmethod
    def ninja(cls, folder: Path, count: int) -> Tool:
        """Return ninja, from PyPI."""
        names = _outputs(folder, count)
        lines = ["rule make\n  command = true\n", *(f"build out/{name}: make spec.toml\n" for name in names)]
        return cls(folder, (str(BIN / "ninja"),))._set_up({"build.ninja": "".join(lines)})

    @classmethod
    def make(cls, folder: Path, count: int) -> Tool:
        """Return the system's make."""
        names = _outputs(folder, count)
        head = "all: " + " ".join(f"out/{name}" for name in names) + "\n.SUFFIXES:\n"
        rules = "".join(f"out/{name}: spec.toml\n\ttouch $@\n" for name in names)
        return cls(folder, ("make", "-r"))._set_up({"Makefile": head + rules})

    @classmethod
    def doit(cls, folder: Path, count: int) -> Tool:
        """Return doit, from PyPI."""
        _outputs(folder, count)
        tasks = (
            "import os\n\ndef task_make():\n    for name in sorted(os.listdir('out')):\n"
            "        yield {'name': name, 'actions': [], 'file_dep': ['spec.toml'], 'targets': ['out/' + name]}\n"
        )
        return cls(folder, (str(BIN / "doit"),))._set_up({"dodo.py": tasks})

    def _set_up(self, files: Mapping[str, str]) -> Tool:
        for name, text in files.items():
            (self.root / name).write_text(text, "utf-8")
        for _ in range(2):
            subprocess.run(self.command, cwd=self.root, check=True, stdout=subprocess.DEVNULL)
        return self


def _outputs(folder: Path, count: int) -> list[str]:
    """Write an input, and then outputs that are newer; return the names of the outputs."""
    (folder / "out").mkdir(parents=True)
    (folder / "spec.toml").write_text("seed = 1\n", "utf-8")
    time.sleep(0.02)
    names = [f"poster-{number}-fresh-greens.png" for number in range(count)]
    for name in names:
        (folder / "out" / name).write_bytes(b"image")
    return names
