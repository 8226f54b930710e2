"""The JSON Schemas, with the validators that editors have: Taplo (Even Better TOML) and Tombi.

Tombi names a place for each mistake, so its places are compared with qwenbuild's. Taplo marks every key around a
mistake, so only its verdict on each file counts. Neither of them uses the network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.specs import project, spec
from qwenbuild.specs.findings import Findings

from .pages import REPOSITORY, every_block
from .test_examples import is_spec, is_users

SPECS = {
    "unknown-key": 'modle = "x"  # wrong\n[image.a]\nprompt = "x"\noutptu = "x.png"  # wrong\n',
    "wrong-type": """\
        size = 1  # wrong
        vars = 1  # wrong
        [image.a]
        prompt = 1  # wrong
        watermark = "yes"  # wrong
        prompt_extend = 1  # wrong
        include = { a = 1 }  # wrong
        axes = "tone"  # wrong
        tags = "web"  # wrong
        """,
    "seed": """\
        seed = -1  # wrong
        [image.text]
        prompt = "x"
        seed = "abc"  # wrong
        [image.float]
        prompt = "x"
        seed = 1.0  # wrong
        [image.large]
        prompt = "x"
        seed = 2147483648  # wrong
        [image.template]
        prompt = "x"
        seed = "{{ row.seed }}"
        """,
    "n": '[image.a]\nprompt = "x"\nn = 2  # wrong\n',
    "tags": '[image.a]\nprompt = "x"\ntags = ["web", "hero", "web"]  # wrong\n',
    "axis": """\
        axes.tone = { file = "" }  # wrong
        axes.many = { count = 0 }  # wrong
        [image.a]
        prompt = "x"
        [image.a.matrix]
        size = { start = 1 }  # wrong
        row = { file = "a.csv", idd = "x" }  # wrong
        step = { count = 3, step = 0 }  # wrong
        two = { file = "a.csv", start = 1 }  # wrong
        copy = [[1]]  # wrong
        day = 2026-02-01  # wrong
        fine = [{ id = "a", deep = [[1]] }, "text", 1.5]
        """,
    "cells": """\
        [image.a]
        prompt = "x"
        matrix.a = [1, 2]
        [[image.a.exclude]]
        a = [1]  # wrong
        [[image.a.include]]
        a = [1]  # wrong
        """,
    "no-prompt": "[image.a]  # wrong\nseed = 1\n",
    "two-prompts": '[image.a]  # wrong\nprompt = "x"\ntemplate = "x.j2"\n',
    "routes": """\
        [image.a]
        prompt = "x"
        provider = 1  # wrong
        region = 1  # wrong
        interface = ["async"]  # wrong
        max_cost = "much"  # wrong
        [image.b]
        prompt = "x"
        max_cost = -1  # wrong
        [image.c]
        prompt = "x"
        provider = "dashscope"
        interface = "async"
        max_cost = "1.50"
        """,
    "parameters": """\
        [image.a]
        prompt = "x"
        [image.a.parameters]
        size = "1:1"  # wrong
        negative_prompt = "x"  # wrong
        since = 2026-02-01  # wrong
        style = { name = ["ink", 1.5, true] }
        """,
}
CONFIGS = {
    "config": """\
        provider = 1  # wrong
        max_renders = -1  # wrong
        resubmit = "maybe"  # wrong
        outt = "x"  # wrong
        [budget]
        max_cost = "much"  # wrong
        [remote]
        read_only = "yes"  # wrong
        token_env = "HOME"  # wrong
        """,
    "defaults": """\
        axes.a = { start = 1 }  # wrong
        [defaults]
        seed = "x"  # wrong
        modle = "x"  # wrong
        """,
    "profiles": """\
        [profiles.a]
        provider = 1  # wrong
        regoin = "x"  # wrong
        budget.max_cost = "much"  # wrong
        defaults.seed = "x"  # wrong
        [profiles.b.defaults.vars]
        anything = { x = [1] }
        """,
    "models": """\
        [models.m]
        interfaces = ["both"]  # wrong
        sizes = "big"  # wrong
        pixels = [1]  # wrong
        submits = "2"  # wrong
        prompt_limit = 1.5  # wrong
        price_cny = { bejing = 1 }  # wrong
        parameters = { n = 1 }  # wrong
        [models.n]
        interfaces = []  # wrong
        sizes = ["1024"]  # wrong
        price_cny = { beijing = -1 }  # wrong
        [models.fine]
        interfaces = ["sync", "async"]
        sizes = ["1024*1024", "512x512"]
        submits = "30/minute"
        price_cny = { beijing = "0.20", singapore = 0.3 }
        """,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both schemas, in which Tombi uses that of the config for files whose names begin with `config`."""
    for name, schema in (("spec", spec.schema()), ("config", project.schema())):
        (tmp_path / f"{name}.schema.json").write_text(json.dumps(schema), "utf-8")
    (tmp_path / "tombi.toml").write_text(
        'toml-version = "v1.0.0"\n'
        + "".join(
            f'[[schemas]]\npath = "{name}.schema.json"\ninclude = ["{name}-*.toml"]\n' for name in ("spec", "config")
        ),
        "utf-8",
    )
    return tmp_path


def write(folder: Path, kind: str, files: Mapping[str, str]) -> list[str]:
    """Write files of a kind, and return their names."""
    names = [f"{kind}-{name}.toml" for name in files]
    for name, text in zip(names, files.values(), strict=True):
        (folder / name).write_text(text, "utf-8")
    return names


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a validator in the folder. It finds no network and no config but the folder's."""
    environ = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    return subprocess.run(
        [Path(sys.executable).parent / program, "lint", *arguments], cwd=folder, env={**os.environ, **environ},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def by_tombi(folder: Path, names: Iterable[str]) -> dict[str, set[int]]:
    """Return the lines that Tombi has errors or warnings for, by file."""
    done = run(
        folder, "tombi", "--offline", "--diagnostics-format", "json", "--diagnostics-file", "/dev/stdout", *names
    )
    found: dict[str, set[int]] = {}
    for one in json.loads(done.stdout or "[]"):
        found.setdefault(one["path"], set()).add(one["range"]["start"]["line"])
    assert found or not done.returncode, done.stderr
    return found


def by_taplo(folder: Path, kind: str, names: Iterable[str]) -> set[str]:
    """Return the files that Taplo refuses."""
    schema = (folder / f"{kind}.schema.json").as_uri()
    return {name for name in names if run(folder, "taplo", "--no-auto-config", "--schema", schema, name).returncode}


def by_qwenbuild(path: Path, kind: str) -> set[int]:
    """Return the lines that qwenbuild complains about."""
    try:
        if kind == "config":
            place = path.parent / path.stem
            place.mkdir()
            shutil.copy(path, place / "qwenbuild.toml")
            project.find(place)
        else:
            findings = Findings()
            spec.load(path, path.name, path.stem, findings)
            findings.raise_if_any()
    except ProjectError as error:
        return {problem.place.line for problem in error.problems if problem.place}
    return set()


@pytest.mark.parametrize(("kind", "files"), [("spec", SPECS), ("config", CONFIGS)])
def test_mistakes_are_refused_where_qwenbuild_refuses_them(folder: Path, kind: str, files: dict[str, str]) -> None:
    """Each line that is marked as wrong has an error, and no other line has one."""
    names = write(folder, kind, files)
    expected = {
        name: {number for number, line in enumerate(text.split("\n"), start=1) if line.endswith("# wrong")}
        for name, text in zip(names, files.values(), strict=True)
    }
    assert {name: by_qwenbuild(folder / name, kind) for name in names} == expected
    assert by_tombi(folder, names) == expected
    assert by_taplo(folder, kind, names) == {*names}


def test_specs_and_configs_are_accepted(folder: Path) -> None:
    """Those of this repository, and those of the documentation."""
    config = (REPOSITORY / "qwenbuild.toml").read_text("utf-8")
    specs = {path.stem: path.read_text("utf-8") for path in (REPOSITORY / "specs").glob("*.toml")}
    configs = {"repository": config}
    for number, block in enumerate(it for it in every_block("toml") if not is_users(it)):
        (specs if is_spec(block) else configs)[f"block-{number}"] = block.text
    assert len(specs) >= 6
    assert len(configs) >= 3
    of_specs, of_configs = write(folder, "spec", specs), write(folder, "config", configs)
    assert by_tombi(folder, [*of_specs, *of_configs]) == {}
    assert by_taplo(folder, "spec", of_specs) == by_taplo(folder, "config", of_configs) == set()


def test_the_directive_of_a_spec_is_enough(folder: Path) -> None:
    """An editor without any config finds the schema by `#:schema ./spec.schema.json`."""
    (folder / "tombi.toml").unlink()
    directive = "#:schema ./spec.schema.json\n"
    names = write(folder, "any", {"wrong": f"{directive}modle = 1\n", "right": f'{directive}[image.a]\nprompt = "x"\n'})
    assert by_tombi(folder, names) == {"any-wrong.toml": {2}}
    assert [run(folder, "taplo", "--no-auto-config", name).returncode for name in names] == [1, 0]
