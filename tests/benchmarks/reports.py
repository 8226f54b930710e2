"""The row of the report: images as large and as noisy as photographs, and many small ones."""

from __future__ import annotations

import io
import random
import shutil
from pathlib import Path

from qwenbuild import load
from qwenbuild.builder.keep import keep
from qwenbuild.provider import Rendered
from qwenbuild.storage.store import Store

from .measure import Contender, Figure, alternate, qwenbuild
from .places import Project, project

_SIDE_PX = 1328
_DIFFERENT = 4  # pictures; all others have the same pixels, but bytes of their own


def report(folder: Path, scale: float, rounds: int) -> list[Figure]:
    """A first report of photographs, each decoded once; and a second report of 1,000 images, which decodes none."""
    few, many = (max(10, int(count * scale)) for count in (100, 1_000))
    photos, small = photographed(folder / "photos", few), project(folder / "small", many)
    small.run("build")
    cache = folder / "cache"

    def forget() -> None:
        for path in (cache, photos.root / ".qwenbuild/report"):
            shutil.rmtree(path, ignore_errors=True)

    command, own = qwenbuild("report"), {"XDG_CACHE_HOME": str(cache)}
    first = Contender("first report", command, photos.root, {**photos.environ, **own}, forget)
    one = alternate([first], min(rounds, 3))[first.name]
    second = Contender("second report", command, small.root, {**small.environ, **own})
    second.run()
    again = alternate([second], rounds)[second.name]
    job = f"report, {few} photographs"
    return [
        Figure(job, "first, CPU for an image", one.cpu_s / few * 1000, "ms", peak_bytes=one.peak_bytes),
        Figure(job, "first, time for an image", one.seconds / few * 1000, "ms"),
        Figure(f"report, {many:,} images", "second", again.seconds, most=2.0, peak_bytes=again.peak_bytes),
    ]


def photographed(folder: Path, cells: int) -> Project:
    """Return a project whose outputs are photographs of 3 MB each. Decoding them takes as long as real ones."""
    made, pictures = project(folder, cells), [_photograph(seed) for seed in range(_DIFFERENT)]
    for number, step in enumerate(load(made.root, max_renders=10**9).plan().steps):
        rendered = Rendered(pictures[number % _DIFFERENT], verified=True)
        keep(Store(made.store), "null", step.action.key, step.action.request, rendered)
    made.run("build")
    return made


def _photograph(seed: int) -> bytes:
    """Return a PNG of soft colours with the grain of a photograph."""
    from PIL import Image

    chance, size = random.Random(seed), (_SIDE_PX, _SIDE_PX)
    soft = Image.frombytes("RGB", (12, 12), chance.randbytes(12 * 12 * 3)).resize(size)
    grain = Image.frombytes("RGB", size, chance.randbytes(3 * _SIDE_PX * _SIDE_PX))
    out = io.BytesIO()
    Image.blend(soft, grain, 0.06).save(out, "PNG")
    return out.getvalue()
