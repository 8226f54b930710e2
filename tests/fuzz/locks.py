"""Locks: rendered ones, mutated, with and without the marks of a merge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwenbuild.errors import QwenbuildError
from qwenbuild.files.paths import path_fault
from qwenbuild.request import SEED_MAX
from qwenbuild.storage import lock
from qwenbuild.storage.lock_format import Pin, render

from .mutation import mutated
from .target import Check, Target

_PINS = [
    Pin(f"a/b-{name}.png", f"a/b[x={name}]", f"{number:064x}", f"{number + 9:064x}", "qwen-image-plus", number)
    for number, name in enumerate(["calm", 'so "so"', "一起", "x\ty"])
]
_LOCK = render(_PINS)
_OURS, _THEIRS = _LOCK.rpartition("\n[[output]]")[2], _LOCK.rpartition("\n[[output]]")[2].replace("a/b", "c/d")
_MERGE = f"{_LOCK}<<<<<<< ours\n[[output]]{_OURS}=======\n[[output]]{_THEIRS}>>>>>>> theirs\n"


@contextmanager
def _opened(folder: Path) -> Iterator[Check]:
    path = folder / "qwenbuild.lock"

    def check(text: str) -> None:
        """Every pin that is read is valid, and is read again from the text that it gives."""
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            found = lock.read(path)
        except QwenbuildError as error:
            assert 0 < len(str(error)) < 100_000
            return
        for pins in (found.pins, found.theirs or {}):
            for output, pin in pins.items():
                assert (pin.path, path_fault(output), 0 <= pin.seed <= SEED_MAX) == (output, None, True)
        path.write_bytes(render(found.pins.values()).encode())
        assert lock.read(path).pins == found.pins

    yield check


TARGET = Target("lock", "qwenbuild.lock", mutated([_LOCK, _LOCK.replace("\n", "\r\n"), _MERGE]), _opened, 300)
