"""How the time of a command grows with each dimension of the work: four times the work, at most five times the time.

The times are processor time beyond start-up, which the same command takes for a project of ten things.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from .dimensions import DIMENSIONS
from .measure import Contender, Figure, alternate, qwenbuild
from .places import Project

SIZES = (1_000, 4_000, 16_000)
MOST = 5.0  # times the time for four times the work
_TINY_S = 0.03  # what a start varies by: less than this beyond it is not measured


def _dimension(name: str, folder: Path, scale: float, rounds: int) -> Iterator[Figure]:
    """Yield a figure for each size. The ratio is that to the time of the size before it."""
    it = DIMENSIONS[name]
    sizes = [10, *(max(10, int(size * scale * it.share)) for size in SIZES)]
    contenders = []
    for size in sizes:
        place = Project(folder / f"{size}" / "project", folder / f"{size}" / "store")
        it.write(place, size)
        contenders.append(Contender(str(size), qwenbuild(*it.command(size)), place.root, place.environ, exits=it.exits))
    found = alternate(contenders, min(rounds, 2))
    start_s = found[str(sizes[0])].cpu_s
    beyond = [max(_TINY_S, found[str(size)].cpu_s - start_s) for size in sizes[1:]]
    before = 0.0
    for size, seconds in zip(sizes[1:], beyond, strict=True):
        ratio = seconds / before if before > _TINY_S else 0.0
        peak = found[str(size)].peak_bytes
        yield Figure(f"growth: {name}, {size:,}", "CPU beyond start", seconds, "s", ratio, MOST if ratio else 0.0, peak)
        before = seconds
    exponent = math.log(beyond[-1] / beyond[0]) / math.log(sizes[-1] / sizes[1])
    yield Figure(f"growth: {name}", "exponent", exponent, "")


ROWS: Mapping[str, Callable[[Path, float, int], Iterator[Figure]]] = {
    f"growth-{name}": partial(_dimension, name) for name in DIMENSIONS
}
