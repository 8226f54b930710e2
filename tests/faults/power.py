"""Power cuts: a build's recorded calls, the states that a cut may leave at each of them, and what must hold there."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from qwenbuild import noop
from qwenbuild.digest import canonical_json, sha256
from qwenbuild.errors import QwenbuildError
from qwenbuild.files.provenance import read_provenance
from qwenbuild.specs.action import Action
from qwenbuild.state_folder import FOLDER
from qwenbuild.storage import lock
from qwenbuild.storage.ledger_file import FILE
from qwenbuild.storage.store import Store

from . import injector
from .disk import Disk, State, write
from .injector import Call
from .scenarios import Scenario
from .stage import Stage

_SETTLED_S = 0.1  # twice as long as `noop` asks for
_FOUND = ("rendered", "reattached", "restored")  # outcomes after which an image counts as there


@dataclass(slots=True)
class Recording:
    """A build without a fault: the disk before it, and its calls. `images` has the digests of all of its images."""

    disk: Disk
    calls: list[Call] = field(repr=False)
    images: set[str]
    actions: list[Action] = field(repr=False)


def recorded(stage: Stage, scenario: Scenario, command: Sequence[str] = ("build", "--json")) -> Recording:
    """Record the build of a scenario."""
    stage.set(scenario)
    while time.time() < _youngest(stage) + _SETTLED_S:  # a build writes no snapshot of younger inputs
        time.sleep(0.01)
    disk = Disk([stage.here])
    before = _outputs(stage)
    arming = stage.arming(records_data=True)
    ran = stage.end("one", stage.start("one", *scenario.arguments, command=command, arming=arming))
    assert ran.code == 0, ran
    return Recording(disk, injector.read(stage.log), before | _outputs(stage), stage.actions("one"))


def _youngest(stage: Stage) -> float:
    return max(path.stat().st_ctime for path in (stage.project("one"), *stage.project("one").rglob("*")))


def _outputs(stage: Stage) -> set[str]:
    return {sha256(path.read_bytes()) for path in (stage.project("one") / "out").rglob("*.png")}


def cuts(stage: Stage, recording: Recording) -> Iterator[str]:
    """Yield what is wrong after a power cut at each call of the recorded build, in each state that it may leave."""
    disk, seen = recording.disk, set[str]()
    by_name = {action.name: action.key for action in recording.actions}
    promised = set[str]()
    for call in recording.calls:
        disk.do(call)
        if call.name == "stdout":
            promised |= {by_name[name] for name in _told(call.data)}
        if is_database(call.path) or call.path.startswith("socket:"):
            continue
        # What SQLite has written counts as synced here: this is about what it may have recorded too early.
        databases = {path: content for path, content in disk.everything.items() if is_database(path)}
        promised |= _settled(stage, databases)
        for state in disk.states((str(stage.store / "tmp"), str(stage.project("one") / FOLDER / "tmp"))):
            own = {path: content for path, content in state.items() if not is_database(path)}
            digest = sha256(canonical_json([sorted(promised), _digests(own)]))
            if digest in seen:
                continue
            seen.add(digest)
            write(own, stage.here)
            for problem in _problems(stage, recording, promised):
                yield f"after call {call.number} ({call.name} {call.path}): {problem}"


def is_database(path: str) -> bool:
    """Whether a file is SQLite's."""
    return ".sqlite3" in path.rpartition("/")[2]


def _digests(state: State) -> list[tuple[str, str]]:
    return sorted((path, "" if content is None else sha256(content)) for path, content in state.items())


def _told(output: bytes) -> Iterator[str]:
    """Yield the cells that the build's output calls done."""
    for line in output.splitlines():
        with contextlib.suppress(ValueError):  # a write may end within a line
            event = json.loads(line)
            if event["event"] == "image_finished" and event["outcome"] in _FOUND:
                yield event["name"]


def _settled(stage: Stage, databases: Mapping[str, bytes | None]) -> set[str]:
    """Return the keys whose submissions the databases call done."""
    return {row[0] for row in rows(stage, databases, "SELECT key FROM submissions WHERE outcome = 'done'")}


def rows(stage: Stage, databases: State, query: str) -> list[tuple[str, ...]]:
    """Return the rows of a query of each database in the state."""
    found: list[tuple[str, ...]] = []
    for path in databases:
        if path.endswith(".sqlite3"):
            copy = stage.folder / "copy.sqlite3"
            for suffix in ("", "-wal", "-journal"):
                Path(f"{copy}{suffix}").unlink(missing_ok=True)
                if content := databases.get(path + suffix):
                    Path(f"{copy}{suffix}").write_bytes(content)
            with contextlib.closing(sqlite3.connect(copy)) as db, contextlib.suppress(sqlite3.OperationalError):
                found += db.execute(query)  # before the tables are made, there is nothing to find
    return found


@dataclass(frozen=True, slots=True)
class Sending:
    """A call to the service: `kind` is "request", "poll" or "download"."""

    kind: str
    problems: tuple[str, ...]


def sendings(stage: Stage, recording: Recording) -> Iterator[Sending]:
    """Yield the calls to the service, each with what a power cut at that moment would take from the ledger."""
    begun = 0  # requests whose head was sent; the body comes later
    for call in recording.calls:
        recording.disk.do(call)
        if call.name != "send":
            continue
        ledger = str(stage.ledger / FILE)
        least = {path: content for path, content in recording.disk.least.items() if path.startswith(ledger)}
        query = "SELECT request, handle FROM submissions WHERE outcome IS NULL"
        safe = [(json.loads(request), handle) for request, handle in rows(stage, least, query)]
        path = (call.data.split(b" ", 2)[1:2] or [b""])[0].decode("ascii", "replace")
        if call.data.startswith(b"POST /api/"):
            begun += 1
            if len(safe) < begun:
                yield Sending("head", (f"{begun} requests were begun, {len(safe)} intents are safe",))
        elif call.data.startswith(b"{"):
            prompt = json.loads(call.data)["input"]
            found = [request for request, _ in safe if json.dumps(request["prompt"]) in json.dumps(prompt)]
            yield Sending("request", () if found else (f"the intent of {prompt} is not safe",))
        elif call.data.startswith((b"GET /api/v1/tasks/", b"GET /results/")):
            kind, name = ("poll" if "/tasks/" in path else "download"), path.rpartition("/")[2]
            # A download of the async interface is known by the task's handle, which was safe before the first poll.
            found = [handle for _, handle in safe if name in handle or (kind == "download" and "task:" in handle)]
            yield Sending(kind, () if found else (f"the handle for {path} is not safe",))


def _problems(stage: Stage, recording: Recording, promised: set[str]) -> Iterator[str]:
    """Yield what is wrong in the files as they are now. `promised` are the keys of images that are called done."""
    store, root = Store(stage.store), stage.project("one")
    try:
        for action in recording.actions:
            entry = store.lookup(stage.stored_key(action))
            image = store.read(entry) if entry else None
            if image and (read_provenance(image) or {}).get("request") != action.request.as_dict():
                yield f"the store has another image under the key of {action.name}"
            if not image and action.key in promised:
                yield f"the image of {action.name} is called done, and lost"
        lock.read(root / lock.NAME)
    except QwenbuildError as error:
        yield f"an error that stops the user: {error}"
    for path in (root / "out").rglob("*"):
        if path.is_file() and sha256(path.read_bytes()) not in recording.images:
            yield f"{path.name} is torn"
    # A snapshot is only read in the environment of its build.
    with contextlib.chdir(root), patch.dict(os.environ, stage.environ, clear=True):
        if noop.find(["build"]):
            yield "the snapshot says that nothing changed"
