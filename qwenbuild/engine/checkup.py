"""Checks of files: the doctor's findings about the store, the project's folder, the lock and git.

Invariants: nothing is changed. A check never raises: what can't be examined becomes a finding too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from qwenbuild.errors import LedgerError, ProjectError, QwenbuildError, StateError, StoreError
from qwenbuild.files import atomic, regular
from qwenbuild.finding import Finding, Level
from qwenbuild.specs import spec
from qwenbuild.specs.project import Project
from qwenbuild.state_folder import FOLDER, STATE
from qwenbuild.storage import gc, lock
from qwenbuild.storage.claimant import lock_fault, unfit
from qwenbuild.storage.ledger import Ledger
from qwenbuild.storage.ledger_file import FILE
from qwenbuild.storage.state import State
from qwenbuild.storage.store import Store
from qwenbuild.storage.store_place import Origin, StorePlace, find_place
from qwenbuild.storage.submissions import ledger_folder

from .custody import asked

_LITTLE_BYTES: Final = 10**9  # less free space than this is a warning: it holds some hundred images
_NONE_BYTES: Final = 50 * 10**6  # less free space than this is a failure
_MOST_SCHEMA_BYTES: Final = 1 << 22
_SCHEMA: Final = re.compile(r"#:schema +(\S+)")


def of_project(project: Project) -> Iterator[Finding]:
    """Yield findings about the folders that builds write, the state, the lock, schemas and git."""
    yield from _folders(project)
    yield _lock(project)
    yield _schemas(project)
    yield from _git(project)


def of_store(environ: Mapping[str, str], project: Project | None) -> Iterator[Finding]:
    """Yield findings about the store: where it is and why, what it holds, free space, and how `out/` gets its bytes."""
    try:
        place = find_place(environ)
    except StoreError as error:
        yield Finding.of_error("store", error)
        return
    store = Store(place.root)
    try:
        folder = _written(store.root)
    except OSError as error:
        yield Finding.of_error("store", store.failure(error, "written"))
        return
    try:
        held = gc.plan_gc(store)
    except QwenbuildError as error:
        yield Finding.of_error("store", error)
    else:
        yield _held(place, held)
    if place.second:
        yield Finding(
            "store", Level.WARN, f"a second store is in {place.second}, and no build reads it",
            (f"in use: {place.root}",),
            "while no build runs, copy ac/ and cas/ of the second store into the first, then remove the second",
            name="second-store",
        )  # fmt: skip
    free = shutil.disk_usage(folder).free
    level = Level.FAIL if free < _NONE_BYTES else Level.WARN if free < _LITTLE_BYTES else Level.OK
    hint = "free some space, or run `qwenbuild gc --unreferenced`" if level is not Level.OK else None
    shares = project is not None and _shares(folder, project)
    how = "; out/ shares the store's bytes" if shares else "; out/ holds copies of the store's bytes" if project else ""
    yield Finding("disk", level, f"{free / 1e9:,.1f} GB free{how}", hint=hint, name="disk-full")


def of_ledger(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the finding about the ledger: where it is, what is in flight, and whether its locks are dependable."""
    try:
        folder = ledger_folder(environ, Store(find_place(environ).root))
        place = next(path for path in (folder, *folder.parents) if path.is_dir())
        if fault := lock_fault(place):
            yield Finding.of_error("ledger", unfit(folder, fault))
        elif (folder / FILE).exists():
            with closing(Ledger(folder, create=False)) as ledger:
                waiting = ledger.open_rows()
            facts = (f"requests without a result, of all projects: {len(waiting):,}",) if waiting else ()
            yield Finding("ledger", Level.OK, str(folder), facts)
        else:
            yield Finding("ledger", Level.OK, f"{folder}: not there yet; the first paid request creates it")
    except (LedgerError, StoreError) as error:
        yield Finding.of_error("ledger", error)


def _held(place: StorePlace, held: gc.Collection) -> Finding:
    """Return the finding about a store that can be read: where it is and why, and what it holds."""
    size = f"{held.kept_entries:,} images, {held.kept_bytes / 1e6:,.0f} MB"
    content = size if place.root.exists() else "not there yet; the first build creates it"
    facts = [f"place: {place.origin}"]
    if place.origin is Origin.CACHE and place.data and not place.second:
        facts.append(f"cleaners may empty it: move the store to {place.data} while no build runs")
    if spare := len(held.removals):
        facts.append(f"{spare:,} useless files; `qwenbuild gc` removes them")
    return Finding("store", Level.OK, f"{place.root}: {content}", tuple(facts))


def _written(folder: Path) -> Path:
    """Return `folder`, or the nearest existing folder above it, after a trial write there. Raises OSError."""
    place = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(b"qwenbuild")
    return place


def _shares(store: Path, project: Project) -> bool:
    """Return True if files in `out/` can share their bytes with the store (reflink)."""
    try:
        return atomic.shares(store, next(path for path in (project.out, project.root) if path.is_dir()))
    except OSError:
        return False


def _folders(project: Project) -> Iterator[Finding]:
    """Check that the folders of a build can be written, and that the state of earlier builds can be read."""
    for folder in (project.out, project.state_dir):
        try:
            _written(folder)
        except OSError as error:
            claim = f"{project.shown(folder)}/ can't be written: {error.strerror or error}"
            yield Finding(
                "project",
                Level.FAIL,
                claim,
                hint="set its permissions, or move the file that is in its place",
                name="file-unwritable",
            )
    try:
        with closing(State.of(project.root, create=False)) as state:
            waiting, images = len(state.open_submissions()), len(state.outputs())
    except StateError as error:
        yield Finding.of_error("state", error)
        return
    facts = (f"requests without a result: {waiting:,}; `qwenbuild tasks` lists them",) if waiting else ()
    yield Finding("state", Level.OK, f"{outputs(images)} on record" if images else "nothing was built yet", facts)


def outputs(count: int) -> str:
    """Return a number of outputs in words."""
    return f"{count:,} output{'s' * (count != 1)}"


def _lock(project: Project) -> Finding:
    path = project.root / lock.NAME
    try:
        read = lock.read(path)
    except ProjectError as error:
        return Finding.of_error("lock", error)
    if read.theirs is not None:
        claim = f"{lock.NAME} holds both sides of a merge"
        return Finding("lock", Level.WARN, claim, hint="`qwenbuild lock` resolves it", name="merge-conflict")
    if asked(project.root, "check-ignore", "--quiet", "--", lock.NAME) is not None:
        hint = "remove it from .gitignore, and commit it"
        return Finding("lock", Level.WARN, f"git ignores {lock.NAME}", hint=hint, name="git-ignores")
    if not path.exists():
        return Finding("lock", Level.OK, "not there yet; a build writes it")
    return Finding("lock", Level.OK, f"{outputs(len(read.pins))} pinned")


def _schemas(project: Project) -> Finding:
    """Check that the schemas that specs name for editors exist and belong to this version."""
    named = set()
    for path in project.spec_paths():
        try:
            with regular.opened(path, regular.MAX_TEXT_BYTES) as file:
                match = _SCHEMA.match(file.readline(1000).decode("utf-8", "replace"))
        except OSError:
            continue  # the check of the specs reports this
        if match and "://" not in match[1]:
            named.add(path.parent / match[1])
    wrong = sorted(path for path in named if not _is_current(path))
    if wrong:
        shown = project.shown(Path(os.path.abspath(wrong[0])))
        claim = f"{shown} is {'of another version' if wrong[0].is_file() else 'missing'}: editors check specs wrongly"
        return Finding("schema", Level.WARN, claim, hint=f"qwenbuild schema > {shown}", name="stale-schema")
    return Finding("schema", Level.OK, "current" if named else "no spec names one; `qwenbuild schema` writes it")


def _is_current(path: Path) -> bool:
    try:
        return bool(json.loads(regular.read(path, _MOST_SCHEMA_BYTES)) == spec.schema())
    except (OSError, ValueError, RecursionError):
        return False


def _git(project: Project) -> Iterator[Finding]:
    """Check that git ignores `.qwenbuild/`, that `out/` is either ignored or committed, and that Git LFS is set up."""
    if asked(project.root, "rev-parse", "--is-inside-work-tree") is None:
        return
    out = project.config.out

    def ignored(path: str) -> bool:
        return asked(project.root, "check-ignore", "--quiet", "--no-index", "--", path) is not None

    derived = f"{FOLDER}/{STATE}"
    if not ignored(derived):
        claim = ".qwenbuild/ is not ignored by git, but belongs to this machine only"
        yield Finding("git", Level.WARN, claim, hint="add the line .qwenbuild/ to .gitignore", name="git-ignores")
    if not ignored(f"{out}/image.png") and not asked(project.root, "ls-files", "--", out) and project.out.is_dir():
        claim = f"{out}/ is neither ignored nor committed"
        hint = f"add {out}/ to .gitignore, or commit the images (with Git LFS if there are many)"
        yield Finding("git", Level.WARN, claim, hint=hint, name="git-ignores")
    elif (asked(project.root, "check-attr", "filter", "--", f"{out}/image.png") or "").endswith(": lfs\n"):
        if asked(project.root, "config", "filter.lfs.process") and shutil.which("git-lfs"):
            yield Finding("git", Level.OK, f".qwenbuild/ is ignored, {out}/ is in Git LFS")
        else:
            claim = f"{out}/ belongs into Git LFS, which is not set up: git would commit whole images"
            yield Finding(
                "git", Level.WARN, claim, hint="install Git LFS, then run `git lfs install` once", name="no-git-lfs"
            )
    elif ignored(derived):
        kept = "ignored" if ignored(f"{out}/image.png") else "committed"
        yield Finding("git", Level.OK, f".qwenbuild/ is ignored, {out}/ is {kept}")
