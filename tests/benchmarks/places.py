"""The folders of the benchmarks: projects of N cells, and the same N outputs for other tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .measure import BIN, qwenbuild

PROMPT = (
    "A poster of a small dog that runs after a ball across a meadow, number {{ number }}, in tones of {{ palette }}. "
    "At its top the words “Come Play Ball!” in large, friendly letters; below them “every day, {{ number }} times”. "
    "Soft morning light from the left, dew on the grass, low hills and a line of trees far behind, a calm composition "
    "with much empty sky, fine detail in the fur, natural colours, a slight grain as of film."
)
"""A realistic prompt: about 400 characters, with typographic quotes."""

PALETTES = ("fresh greens", "sunset oranges", "sea blues", "warm greys", "deep reds")


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

    def run(self, *arguments: str) -> None:
        """Run a command that is not measured."""
        with open(self.root / "setup.log", "wb") as log:
            environ = {**os.environ, **self.environ}
            subprocess.run(qwenbuild(*arguments), cwd=self.root, env=environ, stdout=log, stderr=log, check=True)

    def sibling(self, name: str) -> Project:
        """Return a new checkout of the project, without outputs and state, that shares its store."""
        root = self.root.parent / name
        for part in ("specs", "templates"):
            shutil.copytree(self.root / part, root / part)
        shutil.copy(self.root / "qwenbuild.toml", root)
        return Project(root, self.store)


def project(folder: Path, cells: int, *, config: str = 'provider = "null"', same: bool = False) -> Project:
    """Write a project of `cells` cells; with `same`, all cells share five different images."""
    made = Project(folder / "project", folder / "store")
    # The prompt does not contain `take`: cells that differ only in `take` have the same image.
    axis = "take" if same else "number"
    palettes = ", ".join(f'"{palette}"' for palette in PALETTES)
    spec = (
        'seed = 1\nsize = "1:1"\n[image.poster]\ntemplate = "poster.j2"\n'
        f"vars = {{ {'number' if same else 'take'} = 1 }}\n"
        f"[image.poster.matrix]\n{axis} = {{ start = 1, count = {max(1, cells // len(PALETTES))} }}\n"
        f"palette = [{palettes}]\n"
    )
    files = {"qwenbuild.toml": f"{config}\n", "specs/poster.toml": spec, "templates/poster.j2": PROMPT}
    for name, text in files.items():
        (made.root / name).parent.mkdir(parents=True, exist_ok=True)
        (made.root / name).write_text(text, "utf-8")
    return made


def built(folder: Path, cells: int, *, same: bool = True) -> Project:
    """Return a project whose builds have nothing left to do."""
    if same:  # after the five images are rendered, all other outputs are restored, which is quicker
        project(folder, len(PALETTES), same=True).run("build")
    made = project(folder, cells, same=same)
    arguments = ("build", "--max-renders", str(cells))
    made.run(*arguments)
    time.sleep(0.2)  # no snapshot is written for inputs younger than 50 ms
    made.run(*arguments)
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
