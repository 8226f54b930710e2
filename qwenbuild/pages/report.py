"""The report: writes the page and its images as static files, for a disk or any web server.

    index.html, style.css, *.js   the page
    data.js                       the gallery
    details/N.js                  the cells' details, `CHUNK` cells in a file; the page loads a file when it needs it
    thumbnails/, images/          by digest; a small report has no images/

Data is in scripts because a page opened from disk may load nothing else. `write` refuses a folder that holds
anything but an earlier report. It removes those files of the earlier report that are not needed any more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwenbuild.errors import OutputError, UsageError
from qwenbuild.plan.plan import Plan
from qwenbuild.provider import Provider
from qwenbuild.specs.outside import contents
from qwenbuild.specs.project import Project
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store

from .gallery import Gallery, GalleryMaker, summary
from .thumbnails import SUFFIX, Thumbnails, read

CHUNK = 50
"""How many cells' details are in one file."""

WEB = files("qwenbuild.pages") / "web"
STATIC = ("index.html", "style.css", "icon.svg", "dom.js", "model.js", "pivot.js", "grid.js", "viewer.js", "diff.js",
          "detail.js", "compare.js", "favourites.js", "app.js")  # fmt: skip
_DATA = "data.js"
_FOLDERS = ("images", "thumbnails", "details")
_MOST_EARLIER = 1  # earlier images of a cell in a report: the one that was replaced last


@dataclass(frozen=True, slots=True)
class Written:
    """A written report: the path of its page, its number of cells, and its size in bytes."""

    index: Path
    cells: int
    size_bytes: int


def write(
    folder: Path,
    project: Project,
    plan: Plan,
    state: State,
    store: Store,
    provider: Provider,
    *,
    small: bool = False,
    tell: Callable[[int, int], None] | None = None,
) -> Written:
    """Write the report of a plan into `folder`. A `small` report has thumbnails, but no full-size images.

    `tell` is called with the number of images that are done, and the number of all images. Raises
    UsageError if the folder holds something else, OutputError if a file can't be written.
    """
    _refuse_foreign(folder)
    galleries = GalleryMaker(project, store)
    gallery = galleries.gallery(plan, state, provider)
    steps = list(plan.steps)
    prices = {step.action.output: provider.price(step.action.model.name) for step in steps}
    details, past = galleries.details(steps, state, prices)
    for detail in details.values():
        detail["history"] = _earlier(detail["history"], gallery)
    kept = {it["image"] for detail in details.values() for it in detail["history"]}
    sources = {**{image: places for image, places in past.items() if image in kept}, **gallery.files}
    try:
        files = {name: (WEB / name).read_bytes() for name in STATIC}
        files[_DATA] = _script("model", {**_model(gallery, state, plan, provider), "small": small})
        paths = list(details)
        for number, start in enumerate(range(0, len(paths), CHUNK)):
            chunk = {path: details[path] for path in paths[start : start + CHUNK]}
            files[f"details/{number}.js"] = _script(f"details[{number}]", chunk)
        images = _write_images(folder, project, sources, small, tell or (lambda done, total: None))
        _sweep(folder, {*files, *images})
        size = _write_all(folder, files) + sum(images.values())
    except OSError as error:
        raise OutputError(f"{folder} can't be written: {error.strerror or error}") from error
    return Written(folder / "index.html", len(steps), size)


def _model(gallery: Gallery, state: State, plan: Plan, provider: Provider) -> dict[str, Any]:
    return {
        **gallery.model,
        "summary": summary(gallery, state.last_run(), plan),
        "provider": provider.name,
        "made_at_s": round(time.time()),
        "chunk": CHUNK,
    }


def _earlier(history: Sequence[dict[str, Any]], gallery: Gallery) -> list[dict[str, Any]]:
    """Return the newest earlier images of a cell that the report shows beside the present one."""
    shown = [it for it in history if it["image"] not in gallery.files]
    return shown[:_MOST_EARLIER]


def _script(name: str, value: object) -> bytes:
    """Return a script that sets `qwenbuildData.NAME`. Texts are escaped, so none can end a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(character, escape)
    head = "var qwenbuildData = window.qwenbuildData || { details: {} };\n"
    return f"{head}qwenbuildData.{name} = {text};\n".encode("utf-8", "replace")


def _write_all(folder: Path, files: dict[str, bytes]) -> int:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return sum(map(len, files.values()))


def _write_images(
    folder: Path, project: Project, sources: Mapping[str, Sequence[Path]], small: bool, tell: Callable[[int, int], None]
) -> dict[str, int]:
    """Write images and thumbnails, on all processors; return their sizes by name. Existing files stay."""
    thumbnails = Thumbnails(project.state_dir / "thumbnails")
    for name in ("thumbnails", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    def put(source: tuple[str, Sequence[Path]]) -> dict[str, int]:
        digest, places = source
        written = {f"thumbnails/{digest}{SUFFIX}": lambda: thumbnails.make(digest, places)}
        if not small:
            written[f"images/{digest}.png"] = lambda: read(digest, places)
        return {name: size for name, content in written.items() if (size := _put(folder / name, content))}

    sizes: dict[str, int] = {}
    try:
        for done, put_now in enumerate(thumbnails.side_by_side(put, sources.items())):
            sizes |= put_now
            tell(done + 1, len(sources))
    finally:
        thumbnails.close()
    return sizes


def _put(path: Path, content: Callable[[], bytes | None]) -> int:
    """Write a file that is named by its digest, unless it exists. Return its size, 0 if there is no content."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        made = content()
    if made is None:
        return 0
    half = path.with_name(f"{path.name}.part")  # an interrupted report has no incomplete image
    half.write_bytes(made)
    half.replace(path)
    return len(made)


def _refuse_foreign(folder: Path) -> None:
    try:
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise UsageError(f"{folder} can't be used for a report: {error.strerror or error}") from error
    foreign = names - {*STATIC, _DATA, *_FOLDERS}
    if foreign or (names and _DATA not in names):
        raise UsageError(
            f"{folder} holds files that are not a report",
            facts=[f"such as {min(foreign or names)}"],
            hint="let -o name an empty folder, or one that does not exist yet",
        )
    # A stranger's link would have the report overwrite, or remove, what it leads to.
    if links := [path for path in contents(folder, levels=2) if path.is_symlink()]:
        raise UsageError(
            f"{folder} holds a link, which no report does",
            facts=[f"it is {links[0]}"],
            hint="remove it, or let -o name an empty folder",
        )


def _sweep(folder: Path, wanted: AbstractSet[str]) -> None:
    """Remove the files of an earlier report that this one does not have."""
    for name in _FOLDERS:
        for path in (folder / name).glob("*"):
            if f"{name}/{path.name}" not in wanted:
                path.unlink()
