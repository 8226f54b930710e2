"""Programs that tests run, and the packages of this environment without qwenbuild."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def said(*command: str | Path, code: int = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program, check its exit code, and return what it prints on both streams."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def link_packages(folder: Path) -> Path:
    """Fill a folder with links to the packages of this environment, apart from qwenbuild, and return it.

    On `PYTHONPATH` it stands for what an installer would download.
    """
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("qwenbuild", "_qwenbuild")) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


@contextmanager
def serving(
    *command: str, ready: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the context ends; yields it once it has printed `ready`."""
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        try:
            assert any(ready in line for line in process.stdout)
            yield process
        finally:
            process.kill()
