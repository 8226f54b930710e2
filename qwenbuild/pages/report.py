"""The report: writes the page and its images as static files, for a disk or any web server.

    index.html, style.css, *.js   the page
    data.js                       the gallery
    details/N.js                  the cells' details, `CHUNK` cells in a file; the page loads a file when it needs it
    thumbnails/, images/          by digest; a small report has no images/

Data is in scripts because a page opened from disk may load nothing else. The page is written after the images, and
files that are not needed any more are removed last: an interrupted report leaves the earlier page as it was. A report
of an unchanged project writes only the page and `data.js` anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwenbuild.digest import sha256
from qwenbuild.errors import OutputError, ProjectError
from qwenbuild.noop_files import input_digest
from qwenbuild.plan.plan import Plan
from qwenbuild.problems import Problem, listing
from qwenbuild.routes import Routes
from qwenbuild.specs.project import Project
from qwenbuild.storage import picks
from qwenbuild.storage.picks import Picks
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store
from qwenbuild.version import __version__

from .gallery import Gallery, GalleryMaker, summary
from .pairs import Pairs
from .report_folder import DATA, ReportFolder
from .thumbnails import SUFFIX, Thumbnails, read

CHUNK = 50
"""How many cells' details are in one file."""

WEB = files("qwenbuild.pages") / "web"
_SCRIPTS = ("dom", "access", "model", "keys", "captions", "pivot", "grid", "viewer", "pair", "diff", "detail",
            "compare", "picks", "seen", "edit", "app")  # fmt: skip
STATIC = ("index.html", "style.css", "icon.svg", *(f"{name}.js" for name in _SCRIPTS))
NO_PAIRS = Pairs()
_MOST_EARLIER = 1  # earlier images of a cell in a report: the one that was replaced last

_Tell = Callable[[int, int], None]
_Sources = Mapping[str, Sequence[Path]]

Prepare = Callable[[Thumbnails, Iterable[str]], Sequence[Problem]]
"""Has thumbnails of images with these digests made elsewhere, as many as possible; returns what to warn of."""


@dataclass(frozen=True, slots=True)
class Written:
    """A written report: the path of its page, its number of cells, its size in bytes, and what it warns of."""

    index: Path
    cells: int
    size_bytes: int
    warnings: Sequence[Problem] = ()


def write(
    folder: Path,
    project: Project,
    plan: Plan,
    state: State,
    store: Store,
    routes: Routes,
    *,
    small: bool = False,
    tell: _Tell | None = None,
    pairs: Pairs = NO_PAIRS,
    prepare: Prepare | None = None,
) -> Written:
    """Write the report of a plan into `folder`. A `small` report has thumbnails, but no full-size images.

    `pairs` has the earlier images that cells are compared with. `prepare` is called before thumbnails are made here.

    `tell` is called with the number of images that were written, and the number of all that must be. An image that
    can't be shown is a warning. Raises UsageError if the folder holds something else, OutputError if a file can't be
    written.
    """
    target = ReportFolder(folder, {*STATIC, DATA})
    galleries = GalleryMaker(project, store)
    stars, faults = _stars(project)
    gallery = galleries.gallery(plan, state, routes, picks=stars)
    try:
        target.prepare()
        basis, sources = _basis(plan, state, gallery, pairs, small=small), {**pairs.files, **gallery.files}
        if target.basis == basis:
            target.keep_all()
            details: dict[str, bytes] = {}
        else:
            details, past, is_whole = _details(galleries, gallery, plan, state, routes, pairs)
            sources, basis = {**past, **sources}, basis if is_whole else ""
        page = {name: (WEB / name).read_bytes() for name in STATIC}
        page[DATA] = _script("model", {**pairs.marked(_model(gallery, state, plan, routes)), "small": small})
        damaged, unmade = _write_images(
            target, sources, tell or (lambda done, total: None), prepare or (lambda thumbnails, digests: ()),
            small=small,
        )  # fmt: skip
        for name, content in (details | page).items():
            target.put(name, content)
        size = target.save(basis)
    except OSError as error:
        hint = "free some space there, or let -o name another folder"
        raise OutputError(
            f"{folder} can't be written: {error.strerror or error}", hint=hint, name="output-unwritable"
        ) from error
    warnings = [*faults, *unmade, *pairs.warnings, *unshown(project, damaged, "the report")]
    return Written(folder / "index.html", len(plan.steps), size, warnings)


def _basis(plan: Plan, state: State, gallery: Gallery, pairs: Pairs, *, small: bool) -> str:
    """Return a digest of all that a report's details and its set of images depend on."""
    steps = [
        (it.action.output, it.action.key, it.verdict, it.before, it.price, plan.records.get(it.action.output))
        for it in plan.steps
    ]
    inputs = [(str(path), _content_of(path)) for path in plan.inputs]
    basis = (__version__, small, inputs, steps, state.images_written(), sorted(gallery.files), pairs.label,
             sorted((path, it["image"]) for path, it in pairs.earlier.items()))  # fmt: skip
    return sha256(repr(basis).encode("utf-8", "surrogatepass"))


def _stars(project: Project) -> tuple[Picks, Sequence[Problem]]:
    """Return the stars; none if their file has mistakes, which are returned, too."""
    try:
        return picks.read(project.root / picks.NAME), ()
    except ProjectError as error:
        return Picks(), error.problems


def _content_of(path: Path) -> bytes:
    try:
        return input_digest(path)
    except OSError:  # the plan was made without it
        return b""


def _details(
    galleries: GalleryMaker, gallery: Gallery, plan: Plan, state: State, routes: Routes, pairs: Pairs
) -> tuple[dict[str, bytes], _Sources, bool]:
    """Return the files with details, where earlier images are, and whether the store had all that the details show."""
    prices = {it.output: routes.price(it.choice, it.model.name, it.size) for it in (step.action for step in plan.steps)}
    found, past = galleries.details(list(plan.steps), state, prices)
    for path, detail in found.items():
        chosen = pairs.earlier.get(path)
        detail["history"] = [chosen] if chosen else [] if pairs.label else _earlier(detail["history"], gallery)
    kept = {it["image"] for detail in found.values() for it in detail["history"]}
    files: dict[str, bytes] = {}
    paths = list(found)
    for number, start in enumerate(range(0, len(paths), CHUNK)):
        chunk = {path: found[path] for path in paths[start : start + CHUNK]}
        files[f"details/{number}.js"] = _script(f"details[{number}]", chunk)
    is_whole = all(found[path]["provenance"] for path in paths if path in plan.records)
    return files, {image: places for image, places in past.items() if image in kept}, is_whole


def _model(gallery: Gallery, state: State, plan: Plan, routes: Routes) -> dict[str, Any]:
    return {
        **gallery.model,
        "summary": summary(gallery, state.last_run(), plan),
        "provider": routes.names,
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


def _write_images(
    target: ReportFolder, sources: _Sources, tell: _Tell, prepare: Prepare, *, small: bool
) -> tuple[list[Path], Sequence[Problem]]:
    """Write the images and thumbnails that are not there yet, on all processors.

    Returns the files without an image, and what `prepare` warns of.
    """

    def names(digest: str) -> list[str]:
        return [f"thumbnails/{digest}{SUFFIX}", *([] if small else [f"images/{digest}.png"])]

    missing = {
        digest: lacking
        for digest in sources
        if (lacking := [name for name in names(digest) if not target.keep(name)])
    }  # fmt: skip
    thumbnails = Thumbnails()
    warnings = prepare(thumbnails, missing)

    def put(digest: str) -> bool:
        image = cache(lambda: read(digest, sources[digest]))
        shown = thumbnails.of(digest, image)
        for name in missing[digest]:
            content = shown if name.endswith(SUFFIX) else image()
            if content is not None:
                target.put(name, content)
        return shown is not None

    damaged: list[Path] = []
    try:
        for done, (digest, is_image) in enumerate(zip(missing, thumbnails.side_by_side(put, missing), strict=True)):
            tell(done + 1, len(missing))
            if not is_image:
                damaged.append(sources[digest][-1])
    finally:
        thumbnails.close()
    return damaged, warnings


def unshown(project: Project, damaged: Sequence[Path], page: str) -> list[Problem]:
    """Return the warning about files that are no images, so that `page` does not show them."""
    if not damaged:
        return []
    what = "1 file is" if len(damaged) == 1 else f"{len(damaged):,} files are"
    names = [project.shown(path) for path in damaged]
    hint = "open it in another program; `qwenbuild build --overwrite` replaces files that were changed by hand"
    return [
        Problem(
            f"{what} no whole image, and {page} does not show it",
            facts=[listing(names)],
            hint=hint,
            name="damaged-image",
        )
    ]
