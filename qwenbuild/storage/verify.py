"""Verification: compares the bytes of outputs with the lock, without specs and state."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qwenbuild.errors import OutputError

from .lock_format import Pin
from .outputs import digest, pointed, status

_THREADS = min(8, 2 * (os.cpu_count() or 1))  # hashing and reading run in parallel: they release the GIL


class Fault(StrEnum):
    """How an output differs from the lock."""

    ABSENT = "missing"
    DIFFERS = "differs"
    POINTER = "pointer"  # of Git LFS, in place of the image


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An output that differs from its pin."""

    pin: Pin
    fault: Fault


def compare(pins: Iterable[Pin], out: Path) -> Iterator[Mismatch]:
    """Yield the outputs below `out` that differ from their pins, in the order of the pins. Raises OutputError."""

    def fault(pin: Pin) -> Fault | None:
        path = out / pin.path
        seen = status(path)
        if seen is None:
            return Fault.ABSENT
        if digest(path, seen) == pin.image:
            return None
        return Fault.POINTER if pointed(path, seen) == pin.image else Fault.DIFFERS

    pins = list(pins)
    with ThreadPoolExecutor(_THREADS, "qwenbuild-verify") as pool:
        for pin, found in zip(pins, pool.map(fault, pins), strict=True):
            if found:
                yield Mismatch(pin, found)


def unpinned_images(pins: Iterable[Pin], out: Path) -> list[str]:
    """Return the sorted paths of the PNG files below `out` that no pin names. Raises OutputError."""
    known = {pin.path for pin in pins}
    found = []
    try:
        for folder, _, names in os.walk(out, onerror=_refuse):
            inside = os.path.relpath(folder, out).replace(os.sep, "/")
            paths = (name if inside == "." else f"{inside}/{name}" for name in names if name.endswith(".png"))
            found += [path for path in paths if path not in known]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"{error.filename or out} can't be read: {error.strerror or error}", name="file-unreadable"
        ) from error
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise error
