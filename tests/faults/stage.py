"""The stage: the folders, the services and the nursery that all points of one worker share."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qwenbuild.emulator.server import EmulatorOptions, Running, running
from qwenbuild.engine.engine import Engine
from qwenbuild.options import Options
from qwenbuild.specs import project
from qwenbuild.specs.action import Action
from qwenbuild.trust import TRUST_ENV
from tests.support.caches import Cache

from . import injector
from .injector import Arming, Fault
from .nursery import Nursery
from .scenarios import SPEC, USER_CONFIG, Before, Scenario

HANGS_S = 60.0  # a build of three images takes a tenth of a second

_SERVICE = EmulatorOptions(latency_s=0.0, queue_s=0.0, limits=0.0, images="null")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a build ended. `code` is None if it hung and had to be killed."""

    code: int | None
    events: list[dict[str, Any]] = field(repr=False)
    err: str

    @property
    def ended(self) -> dict[str, str]:
        """The outcome of each cell that has one."""
        return {event["name"]: event["outcome"] for event in self.events if event["event"] == "image_finished"}

    @property
    def unknown(self) -> list[str]:
        """The cells whose requests may have been billed."""
        return [name for name, outcome in self.ended.items() if outcome == "unknown"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A worker's stage. `folder` holds everything that a build reads and writes."""

    folder: Path
    nursery: Nursery
    service: Running
    cache: Cache

    @classmethod
    @contextlib.contextmanager
    def open(cls) -> Iterator[Stage]:
        """Build the injector, start the services and the nursery, and end all of them with the context."""
        with contextlib.ExitStack() as stack:
            memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # waits for no disk
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qwenbuild-faults-", dir=memory)))
            service = stack.enter_context(running(_SERVICE))
            cache = stack.enter_context(Cache().running())
            nursery = stack.enter_context(Nursery.running(injector.build(folder)))
            yield cls(folder, nursery, service, cache)

    # --- places ---

    @property
    def here(self) -> Path:
        """The folder of the scenario that is being played."""
        return self.folder / "here"

    @property
    def store(self) -> Path:
        return self.here / "store"

    @property
    def ledger(self) -> Path:
        return self.here / "ledger"

    def project(self, name: str) -> Path:
        return self.here / name

    @property
    def log(self) -> Path:
        """The records of the build that gets the fault."""
        return self.folder / "log"

    @property
    def environ(self) -> dict[str, str]:
        home = str(self.here / "home")
        places = {
            "HOME": home,
            **{f"XDG_{name}_HOME": f"{home}/{name.lower()}" for name in ("CACHE", "CONFIG", "DATA")},
        }
        own = {"QWENBUILD_CACHE_DIR": str(self.store), "QWENBUILD_LEDGER_DIR": str(self.ledger)}
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, **places, **own, TRUST_ENV: "1", **self.service.environment()}

    # --- setting the scene ---

    def set(self, scenario: Scenario) -> None:
        """Make everything as it is before the build of the scenario."""
        template = self.folder / scenario.name
        if not template.exists():
            self._prepare(scenario)
            shutil.copytree(self.here, template, symlinks=True)
            (self.folder / f"{scenario.name}.cache").write_text(
                json.dumps({name: content.hex() for name, content in self.cache.files.items()}), "utf-8"
            )
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(template, self.here, symlinks=True)
        kept = json.loads((self.folder / f"{scenario.name}.cache").read_text("utf-8"))
        self.cache.files = {name: bytes.fromhex(content) for name, content in kept.items()}
        self.service.reset()

    def _prepare(self, scenario: Scenario) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        own = self.here / "home" / "config" / "qwenbuild" / "config.toml"
        own.parent.mkdir(parents=True)
        own.write_text(USER_CONFIG, "utf-8")
        self.cache.files.clear()
        self.service.reset()
        for name in ("one", "two") if scenario.twin else ("one",):
            (self.project(name) / "specs").mkdir(parents=True)
            (self.project(name) / "qwenbuild.toml").write_text(scenario.config(self.cache.url), "utf-8")
            (self.project(name) / "specs" / "fair.toml").write_text(SPEC, "utf-8")
        if scenario.before is Before.NOTHING:
            return
        # The remote cache gets the image of one of the requests.
        chosen = ("fair/cover",) if scenario.before is Before.SHARED else ()
        ran = self.build("one", *chosen)
        assert ran.code == 0, ran
        if scenario.before is not Before.BUILT:
            for place in ("out", ".qwenbuild"):
                shutil.rmtree(self.project("one") / place)
        if scenario.before is Before.SHARED:
            (self.project("one") / "qwenbuild.lock").unlink()
            for folder in (self.store, self.ledger):
                shutil.rmtree(folder, ignore_errors=True)

    def actions(self, name: str) -> list[Action]:
        """Return the actions of a project."""
        return Engine(project.find(self.project(name)), Options(), self.environ).actions()

    def stored_key(self, action: Action) -> str:
        """Return the key under which the store has the image of an action: the service here is an emulator."""
        if action.request.family != "dashscope":
            return action.key
        return action.made_by(self.service.base_url.removesuffix("/api/v1")).key

    # --- building ---

    def start(
        self, name: str, *arguments: str, command: Sequence[str] = ("build", "--json"), arming: Arming | None = None
    ) -> int:
        """Start a build of the project `name`, or another command; return its PID."""
        return self.nursery.start(
            [*command, *arguments], self.project(name), self.environ, self.folder / name, arming
        )  # fmt: skip

    def end(self, name: str, pid: int) -> Ran:
        """Wait until the build `pid` of the project `name` has ended."""
        code = self.nursery.wait(pid, HANGS_S)
        out = Path(f"{self.folder / name}.out").read_text("utf-8")
        events = [json.loads(line) for line in out.splitlines(keepends=True) if line[0] == "{" and line[-1] == "\n"]
        return Ran(code, events, Path(f"{self.folder / name}.err").read_text("utf-8"))

    def build(self, name: str, *arguments: str) -> Ran:
        """Build the project `name` to its end."""
        return self.end(name, self.start(name, *arguments))

    def planned(self, name: str, *arguments: str) -> dict[str, str]:
        """Return the verdict on each cell of the project `name`."""
        ran = self.end(name, self.start(name, *arguments, command=("plan", "--json")))
        return {event["name"]: event["verdict"] for event in ran.events if event["event"] == "step"}

    def arming(self, fault: Fault | None = None, *, records_data: bool = False) -> Arming:
        """Return what counts in the scenario: the projects, the store and the ledger, the service and the cache."""
        self.log.unlink(missing_ok=True)
        ports = (_port(self.service.origin), _port(self.cache.url))
        return Arming(self.log, (self.here,), ports, fault, records_data)

    @property
    def billed(self) -> list[Mapping[str, Any]]:
        """The charges since the scene was set."""
        records: list[Mapping[str, Any]] = self.service.bill()["records"]
        return records


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port
