"""The injector from Python: compiles `injector.c`, arms it, and reads its records."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("injector.c")

_COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the call `at` (from 1). `act` is one of the words that `injector.c` lists."""

    at: int
    act: str

    def __str__(self) -> str:
        return f"{self.act} at call {self.at}"


@dataclass(frozen=True, slots=True)
class Call:
    """One record: a call that counts, or (with the number 0) a write to standard output.

    `result` is what the call returned, a negative number of an error if it failed. `data` are the bytes that were
    written or sent, if they were recorded. `offset` is their place in the file, or the length that the file was cut to.
    """

    number: int
    name: str
    result: int
    offset: int
    data: bytes = field(repr=False)
    path: str
    second: str

    @property
    def is_ok(self) -> bool:
        return self.result >= 0


@dataclass(frozen=True, slots=True)
class Arming:
    """What counts: calls on paths below `paths`, and on sockets to `ports`. `log` is the file of the records."""

    log: Path
    paths: tuple[Path, ...]
    ports: tuple[int, ...] = ()
    fault: Fault | None = None
    records_data: bool = False

    @property
    def below(self) -> str:
        return ":".join(map(str, self.paths))

    @property
    def to(self) -> str:
        return ":".join(map(str, self.ports))

    def environment(self, library: Path) -> dict[str, str]:
        """Return the variables that load the injector into a command and arm it."""
        variables = {"LD_PRELOAD": str(library), "FAULTS_LOG": str(self.log), "FAULTS_PATHS": self.below}
        variables["FAULTS_PORTS"] = self.to
        if self.fault:
            variables |= {"FAULTS_AT": str(self.fault.at), "FAULTS_DO": self.fault.act}
        return {**variables, "FAULTS_DATA": "1"} if self.records_data else variables


def reason_against() -> str:
    """Return why no faults can be injected on this machine; empty if they can."""
    if sys.platform != "linux":
        return "faults are injected with LD_PRELOAD, which only Linux has"
    return "" if _COMPILER else "the injector needs a C compiler (cc, gcc or clang)"


def build(folder: Path) -> Path:
    """Compile the injector into `folder`; return the path of the library."""
    assert _COMPILER, reason_against()
    library = folder / "injector.so"
    command = [_COMPILER, "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run([*command, "-lpthread"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


def read(log: Path) -> list[Call]:
    """Return the records of a log, in the order of the calls. A kill may have cut the last record; it is left out."""
    content, calls, at = log.read_bytes(), list[Call](), 0
    while (end := content.find(b"\n", at)) >= 0:
        number, name, result, offset, size, path, second = (
            content[at:end].decode("utf-8", "surrogateescape").split("\t")
        )
        at = end + 1 + int(size)
        if at <= len(content):
            data = content[end + 1 : at]
            calls.append(Call(int(number), name, int(result), int(offset), data, path, second))
    return calls


def arms(arming: Arming) -> Mapping[str, str | int]:
    """Return the arguments of `faults_arm` by name, as JSON has them."""
    fault = arming.fault or Fault(0, "")
    return {
        "log": str(arming.log), "paths": arming.below, "ports": arming.to, "at": fault.at, "act": fault.act,
        "data": int(arming.records_data),
    }  # fmt: skip
