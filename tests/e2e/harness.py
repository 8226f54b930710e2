"""Runs the installed `qwenbuild` in a temporary project. After a successful build, a second one must do nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwenbuild.cli.main import run
from tests.support import nursery, plugins
from tests.support.nursery import COMMAND

__all__ = ["COMMAND", "Ran", "Sandbox"]


@dataclass(frozen=True)
class Ran:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def finished(self) -> dict[str, Any]:
        """The last event that `--json` printed."""
        return self.events[-1]


@dataclass
class Sandbox:
    """A project in a temporary folder, with its own store."""

    root: Path
    store: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every command, without the user's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DASHSCOPE_", "QWENBUILD_"))}
        return {**kept, "QWENBUILD_CACHE_DIR": str(self.store), "HOME": str(self.root.parent), **self.extra}

    @property
    def site(self) -> Path:
        """The folder of installed plugins."""
        return self.root.parent / "site"

    def write(self, files: Mapping[str, str]) -> Sandbox:
        """Write files. Their names are paths relative to the project."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return self

    def popen(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command and return its process. Most are forked off a process that has loaded qwenbuild."""
        if options.keys() <= {"start_new_session"} and nursery.suits(self.environ):
            return nursery.Process(arguments, self.root, self.environ, session=bool(options))
        return subprocess.Popen(
            [COMMAND, *arguments], cwd=self.root, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def run(self, *arguments: str, timeout_s: float = 60) -> Ran:
        """Run a command to its end. Fail if it prints a traceback."""
        process = self.popen(*arguments)
        out, err = process.communicate(timeout=timeout_s)
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)

    def here(self, *arguments: str) -> Ran:
        """Run a command in this process, which is twenty times as fast."""
        out, err = io.StringIO(), io.StringIO()
        kept, folder, environ = dict(os.environ), os.getcwd(), self.environ
        os.environ.clear()
        os.environ.update(environ)
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
        """Build, and return the last event. Fail if the build fails, or if a second build does anything."""
        return self._built(self.run("build", "--json", *arguments), arguments)

    def build_here(self, *arguments: str) -> dict[str, Any]:
        """Like `build`, but in this process."""
        return self._built(self.here("build", "--json", *arguments), arguments)

    def _built(self, first: Ran, arguments: Sequence[str]) -> dict[str, Any]:
        assert first.code == 0, first.err + first.out
        self.build_nothing(*(argument for argument in arguments if argument not in ("--force", "--overwrite")))
        return first.finished

    def build_nothing(self, *arguments: str) -> None:
        """Build. Fail if the build does anything or touches an output."""
        before = self.stamps()
        again = self.here("build", "--json", *arguments)
        assert again.code == 0, again.err + again.out
        made = {name: again.finished[name] for name in ("rendered", "restored", "failed", "unknown", "skipped")}
        assert made == dict.fromkeys(made, 0), again.out
        assert self.stamps() == before

    def changed(self, *arguments: str) -> dict[str, str]:
        """Return "verdict: reason" by cell name, for each cell of the plan that is not up to date."""
        ran = self.here("plan", "--json", *arguments)
        assert ran.code == 0, ran.err
        steps = [event for event in ran.events if event["event"] == "step" and event["verdict"] != "up_to_date"]
        return {step["name"]: f"{step['verdict']}: {step['reason']}" for step in steps}

    def outputs(self) -> dict[str, bytes]:
        """Return the content of every image below out/."""
        return {name: (self.root / "out" / name).read_bytes() for name in self.stamps()}

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Return the inode and the modification time in nanoseconds of every image below out/."""
        out = self.root / "out"
        stats = {path: path.stat() for path in sorted(out.rglob("*.png")) if path.is_file()}
        return {path.relative_to(out).as_posix(): (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file of the project. Fail if the file does not contain it."""
        path = self.root / name
        text = path.read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new), "utf-8")

    def install(self, name: str, source: str) -> None:
        """Install a provider plugin: a distribution whose module `source` has a class `Provider`."""
        plugins.install(self.site, name, source)
        self.extra["PYTHONPATH"] = str(self.site)
