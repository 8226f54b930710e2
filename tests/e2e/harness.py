"""Runs the installed `qwenbuild` in a project of its own; a successful build must have nothing left to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def build(self, *arguments: str) -> dict[str, Any]:
        """Build; check that it succeeded and that a second build does nothing; return the first's last event."""
        first = self.run("build", "--json", *arguments)
        assert first.code == 0, first.err + first.out
        again_arguments = [argument for argument in arguments if argument not in ("--force", "--overwrite")]
        again = self.run("build", "--json", *again_arguments)
        made = {name: again.finished[name] for name in ("rendered", "restored", "failed", "unknown")}
        assert made == {"rendered": 0, "restored": 0, "failed": 0, "unknown": 0}, again.out
        return first.finished

    def verdicts(self, *arguments: str) -> dict[str, str]:
        """Return the plan: verdict by cell name."""
        ran = self.run("plan", "--json", *arguments)
        assert ran.code == 0, ran.err
        return {event["name"]: event["verdict"] for event in ran.events if event["event"] == "step"}

    def reasons(self, *arguments: str) -> dict[str, str]:
        """Return the plan: reason by cell name."""
        ran = self.run("plan", "--json", *arguments)
        assert ran.code == 0, ran.err
        return {event["name"]: event["reason"] for event in ran.events if event["event"] == "step"}

    def outputs(self) -> dict[str, bytes]:
        """Return the content of every file below out/."""
        out = self.root / "out"
        return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*.png")) if p.is_file()}
