"""Runs the installed `qwenbuild` in a project of its own; a successful build must have nothing left to do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwenbuild.cli.main import run
from tests.support import plugins

COMMAND = str(Path(sys.executable).with_name("qwenbuild"))


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def finished(self) -> dict[str, Any]:
        """The last line of `--json`."""
        return self.events[-1]


@dataclass
class Sandbox:
    """A folder with a project in it and a store of its own."""

    root: Path
    store: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every command: nothing of the user's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DASHSCOPE_", "QWENBUILD_"))}
        return {**kept, "QWENBUILD_CACHE_DIR": str(self.store), "HOME": str(self.root.parent), **self.extra}

    @property
    def site(self) -> Path:
        """The folder of installed plugins."""
        return self.root.parent / "site"

    def write(self, files: Mapping[str, str]) -> Sandbox:
        """Write files, by their path below the project."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return self

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command and return its process."""
        return subprocess.Popen(
            [COMMAND, *arguments], cwd=self.root, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def run(self, *arguments: str, timeout_s: float = 60) -> Ran:
        """Run a command to its end; its output never holds a traceback."""
        process = self.popen(*arguments)
        out, err = process.communicate(timeout=timeout_s)
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)

    def here(self, *arguments: str) -> Ran:
        """Run a command line in this process, which is twenty times as quick."""
        out, err = io.StringIO(), io.StringIO()
        kept, folder = dict(os.environ), os.getcwd()
        os.environ.clear()
        os.environ.update(self.environ)
        os.chdir(self.root)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run(list(arguments))
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(kept)
        return Ran(code, out.getvalue(), err.getvalue())

    def build(self, *arguments: str) -> dict[str, Any]:
        """Build; check that it succeeded and that a second build does nothing; return the first's last event."""
        return self._built(self.run("build", "--json", *arguments), arguments)

    def build_here(self, *arguments: str) -> dict[str, Any]:
        """Do as `build` does, in this process."""
        return self._built(self.here("build", "--json", *arguments), arguments)

    def _built(self, first: Ran, arguments: Sequence[str]) -> dict[str, Any]:
        assert first.code == 0, first.err + first.out
        self.build_nothing(*(argument for argument in arguments if argument not in ("--force", "--overwrite")))
        return first.finished

    def build_nothing(self, *arguments: str) -> None:
        """Build; check that this found nothing to do and touched no output."""
        before = self.stamps()
        again = self.here("build", "--json", *arguments)
        assert again.code == 0, again.err + again.out
        made = {name: again.finished[name] for name in ("rendered", "restored", "failed", "unknown", "skipped")}
        assert made == dict.fromkeys(made, 0), again.out
        assert self.stamps() == before

    def changed(self, *arguments: str) -> dict[str, str]:
        """Return `verdict: reason`, by the cell's name, for all that a plan would not leave as it is."""
        ran = self.here("plan", "--json", *arguments)
        assert ran.code == 0, ran.err
        steps = [event for event in ran.events if event["event"] == "step" and event["verdict"] != "up_to_date"]
        return {step["name"]: f"{step['verdict']}: {step['reason']}" for step in steps}

    def outputs(self) -> dict[str, bytes]:
        """Return the content of every image below out/."""
        return {name: (self.root / "out" / name).read_bytes() for name in self.stamps()}

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Return the inode and the modification time of every image below out/."""
        out = self.root / "out"
        found = {path: path.stat() for path in sorted(out.rglob("*.png")) if path.is_file()}
        return {path.relative_to(out).as_posix(): (it.st_ino, it.st_mtime_ns) for path, it in found.items()}

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file of the project."""
        path = self.root / name
        text = path.read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new), "utf-8")

    def install(self, name: str, source: str) -> None:
        """Install a provider plugin: a distribution whose module `source` has a class `Provider`."""
        plugins.install(self.site, name, source)
        self.extra["PYTHONPATH"] = str(self.site)
