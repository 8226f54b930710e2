"""The audit: what must hold after a fault, at once and after the builds that follow."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from qwenbuild.digest import sha256
from qwenbuild.errors import QwenbuildError
from qwenbuild.files.png_chunks import SIGNATURE
from qwenbuild.files.provenance import read_provenance
from qwenbuild.specs.action import Action
from qwenbuild.storage import lock
from qwenbuild.storage.action_result import is_digest, parse_files
from qwenbuild.storage.ledger_file import FILE
from qwenbuild.storage.state import state_path
from qwenbuild.storage.store import Store

from .stage import Ran, Stage

Wire = tuple[str, int]
"""A request as the bill names it: prompt and seed."""


def wire(action: Action) -> Wire:
    return action.request.prompt, action.request.seed


def whole(stage: Stage) -> Iterator[str]:
    """Yield what is torn, damaged, or can't be read. Everything must be whole at any time."""
    for path in stage.here.rglob("*"):
        if not path.is_file() or path.parent.name == "tmp":
            continue
        if path.is_relative_to(stage.store):
            yield from _store_file(path)
        elif path.suffix == ".sqlite3":
            yield from _database(path, stage.folder / "copy.sqlite3")
        elif path.name == lock.NAME:
            try:
                lock.read(path)
            except QwenbuildError as error:
                yield f"the lock can't be read: {error}"
        elif path.name == ".gitignore" and path.read_text("utf-8") != "*\n":
            yield f"{path.parent.name}/.gitignore holds {path.read_text('utf-8')!r}"
        elif "out" in path.relative_to(stage.here).parts[:2]:
            yield from _output(path)


def _store_file(path: Path) -> Iterator[str]:
    content, kind = path.read_bytes(), path.parent.parent.name
    if not is_digest(path.name):
        return
    if kind == "cas" and sha256(content) != path.name:
        yield f"the blob {path.name} has other bytes than its name says"
    if kind == "ac" and parse_files(content) is None:
        yield f"the action result {path.name} can't be read: {content!r}"


def _database(path: Path, copy: Path) -> Iterator[str]:
    # A look at the file itself would repair it, before qwenbuild has to.
    for suffix in ("", "-wal", "-journal"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
    try:
        with contextlib.closing(sqlite3.connect(copy)) as db:
            (found,) = db.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        yield f"{path.name}: {found}"


def _output(path: Path) -> Iterator[str]:
    if path.suffix != ".png":
        yield f"a stray file lies in out/: {path.name}"
        return
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        yield f"{path.name} is torn: {error}"


def orderly(ran: Ran, which: str) -> Iterator[str]:
    """Yield what is wrong with the way a build ended, whatever happened to it."""
    if ran.code is None:
        yield f"{which} hung"
    if "Traceback" in ran.err:
        yield f"{which} printed a traceback: {ran.err}"
    if ran.code not in (None, 0, 1, 2, 3, -9):
        yield f"{which} ended with {ran.code}: {ran.err}"


def complete(stage: Stage, name: str, actions: Sequence[Action]) -> Iterator[str]:
    """Yield what is missing or wrong in the outputs of a project."""
    store = Store(stage.store)
    for action in actions:
        path = stage.project(name) / "out" / action.output
        entry = store.lookup(stage.stored_key(action))
        if not path.is_file():
            yield f"{name}: {action.name} has no output"
            continue
        content = path.read_bytes()
        if entry is None or store.read(entry) != content:
            yield f"{name}: the store has not the image of {action.name}"
        facts = read_provenance(content) or {}
        if facts.get("request") != action.request.as_dict():
            yield f"{name}: {action.name} shows another image: {facts.get('request')}"
        with Image.open(io.BytesIO(content)) as image:
            if image.size != tuple(action.request.size):
                yield f"{name}: {action.name} has the size {image.size}"


def money(
    stage: Stage, actions: Sequence[Action], most: int, again: Mapping[Wire, int], lost: Mapping[Wire, int],
    before: Mapping[Wire, int],
) -> Iterator[str]:  # fmt: skip
    """Yield requests that were billed too often, and images that were billed and are not in the store.

    Each request may be billed `most` times, and once more for each time that it was sent again by order (`again`). As
    many of its images as `lost` says may be missing. The store had the images `before`.
    """
    billed = Counter((record["prompt"], record["seed"]) for record in stage.billed)
    stored = images(stage)
    for request in sorted({wire(action) for action in actions}):
        allowed, there = most + again.get(request, 0), stored[request] - before.get(request, 0)
        if billed[request] > allowed:
            yield f"{request} was billed {billed[request]} times, not {allowed}"
        if there < billed[request] - lost.get(request, 0):
            yield f"{request} was billed {billed[request]} times, and the store has {there} images of it"
    if others := set(billed) - {wire(action) for action in actions}:
        yield f"billed, but nobody asked for it: {others}"


def images(stage: Stage) -> Counter[Wire]:
    """Return the number of images in the store, by request."""
    found = Counter[Wire]()
    for path in (stage.store / "cas").glob("*/*"):
        content = path.read_bytes()
        if content.startswith(SIGNATURE) and (facts := read_provenance(content)):
            found[facts["request"]["prompt"], facts["request"]["seed"]] += 1
    return found


def lost(stage: Stage) -> set[Wire]:
    """Return the requests of the ledger that are open and have no handle: they may have been billed."""
    with contextlib.closing(sqlite3.connect(f"{(stage.ledger / FILE).as_uri()}?mode=rw", uri=True)) as db:
        rows = db.execute("SELECT request FROM submissions WHERE outcome IS NULL AND handle = ''").fetchall()
    requests = [json.loads(text) for (text,) in rows]
    return {(request["prompt"], request["seed"]) for request in requests}


def settled(stage: Stage, name: str) -> Iterator[str]:
    """Yield the submissions with a handle that are still open, in a project's state and in the ledger.

    Those that only the state has open were settled in the ledger; the next render repairs that.
    """
    opened = []
    for path in (state_path(stage.project(name)), stage.ledger / FILE):
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as db:
            query = "SELECT uid FROM submissions WHERE outcome IS NULL AND handle != ''"
            opened.append({uid for (uid,) in db.execute(query)})
    if both := opened[0] & opened[1]:
        yield f"{name}: {len(both)} submissions are still open"
