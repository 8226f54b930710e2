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
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from qwenbuild import load
from qwenbuild.digest import sha256
from qwenbuild.storage import lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State

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


def project(folder: Path, cells: int, *, config: str = 'provider = "null"') -> Project:
    """Write a project of `cells` cells, one for each row of a table."""
    spec = 'seed = 1\nsize = "1:1"\n[image.poster]\ntemplate = "poster.j2"\n[image.poster.matrix]\n'
    made = Project(folder / "project", folder / "store")
    return made.write({
        "qwenbuild.toml": f"max_renders = 1_000_000\n{config}\n",
        "specs/poster.toml": f'{spec}row = {{ file = "../data/rows.csv" }}\n',
        "data/rows.csv": csv_text(rows(cells)),
        "templates/poster.j2": TEMPLATE,
    })  # fmt: skip


def recorded(place: Project, image: bytes = b"image") -> None:
    """Make all outputs of a project: files with the bytes of `image`, the state's records, and the lock's pins.

    A build takes much longer for that, and gives the same plans: nobody reads a file that is as recorded.
    """
    outputs: list[Output] = []
    pins: list[Pin] = []
    requests: dict[str, Mapping[str, object]] = {}
    for step in load(place.root, max_renders=10**9).plan().steps:
        action, path = step.action, place.root / "out" / step.action.output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
        status, digest = path.stat(), sha256(image)
        facts = status.st_size, status.st_mtime_ns, status.st_ino
        outputs.append(Output(action.output, action.key, digest, *facts, action.name))
        pins.append(Pin(action.output, action.name, action.key, digest, action.model.name, action.seed))
        requests[action.key] = action.request.as_dict()
    with closing(State.of(place.root, create=True)) as state:
        state.record(outputs, requests)
    lock.write(place.root / lock.NAME, pins, place.root / ".qwenbuild")


def built(folder: Path, cells: int, image: bytes = b"image") -> Project:
    """Return a project whose builds have nothing left to do; each of its outputs has the bytes of `image`."""
    made = project(folder, cells)
    recorded(made, image)
    time.sleep(0.2)  # no snapshot is written for inputs younger than 50 ms
    made.run("build")
    return made


@dataclass(frozen=True)
class Tool:
    """Another build tool in its own folder, with nothing left to do.

    Its outputs depend on one input; with `own_inputs` each on an input of its own, in `in/`.
    """

    root: Path
    command: tuple[str, ...]

    @classmethod
    def ninja(cls, folder: Path, count: int, *, own_inputs: bool = False) -> Tool:
        """Return ninja, from PyPI."""
        pairs = _outputs(folder, count, own_inputs)
        rule = "rule copy\n  command = cp $in $out\n"
        text = rule + "".join(f"build out/{name}: copy {source}\n" for name, source in pairs)
        return cls(folder, (str(BIN / "ninja"),))._set_up({"build.ninja": text})

    @classmethod
    def make(cls, folder: Path, count: int, *, own_inputs: bool = False) -> Tool:
        """Return the system's make."""
        pairs = _outputs(folder, count, own_inputs)
        head = "all: " + " ".join(f"out/{name}" for name, _ in pairs) + "\n.SUFFIXES:\n"
        rules = "".join(f"out/{name}: {source}\n\tcp {source} $@\n" for name, source in pairs)
        return cls(folder, ("make", "-r"))._set_up({"Makefile": head + rules})

    @classmethod
    def doit(cls, folder: Path, count: int, *, own_inputs: bool = False) -> Tool:
        """Return doit, from PyPI."""
        _outputs(folder, count, own_inputs)
        source = "'in/' + name" if own_inputs else "'spec.toml'"
        tasks = (
            "import os\n\ndef task_copy():\n    for name in sorted(os.listdir('out')):\n"
            f"        source = {source}\n"
            "        yield {'name': name, 'actions': [['cp', source, 'out/' + name]], 'file_dep': [source],"
            " 'targets': ['out/' + name]}\n"
        )
        return cls(folder, (str(BIN / "doit"),))._set_up({"dodo.py": tasks})

    @classmethod
    def scons(cls, folder: Path, count: int) -> Tool:
        """Return SCons, from PyPI. Each output has an input of its own."""
        _outputs(folder, count, own_inputs=True)
        text = (
            "import os\nenv = Environment(tools=[])\n"
            "for name in sorted(os.listdir('in')):\n"
            "    env.Command('out/' + name, 'in/' + name, Copy('$TARGET', '$SOURCE'))\n"
        )
        return cls(folder, (str(BIN / "scons"), "-Q"))._set_up({"SConstruct": text})

    @classmethod
    def snakemake(cls, folder: Path, count: int) -> Tool:
        """Return Snakemake, from PyPI. Each output has an input of its own."""
        _outputs(folder, count, own_inputs=True)
        text = (
            "import os\nrule all:\n    input: ['out/' + name for name in sorted(os.listdir('in'))]\n"
            "rule copy:\n    input: 'in/{name}'\n    output: 'out/{name}'\n    shell: 'cp {input} {output}'\n"
        )
        return cls(folder, (str(BIN / "snakemake"), "--cores", "1", "--quiet"))._set_up({"Snakefile": text})

    def _set_up(self, files: Mapping[str, str]) -> Tool:
        for name, text in files.items():
            (self.root / name).write_text(text, "utf-8")
        for _ in range(2):
            subprocess.run(
                self.command, cwd=self.root, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        return self


def _outputs(folder: Path, count: int, own_inputs: bool) -> list[tuple[str, str]]:
    """Write inputs, and then outputs that are newer; return the name of each output and the path of its input."""
    for name in ("in", "out"):
        (folder / name).mkdir(parents=True)
    names = [f"poster-{number}-fresh-greens.png" for number in range(count)]
    sources = {name: f"in/{name}" if own_inputs else "spec.toml" for name in names}
    for source in {*sources.values()}:
        (folder / source).write_text("seed = 1\n", "utf-8")
    time.sleep(0.02)
    for name in names:
        (folder / "out" / name).write_bytes(b"image")
    return [*sources.items()]
