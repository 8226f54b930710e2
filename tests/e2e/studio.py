"""A project that renders at the local DashScope, is built here or by the command, and is audited with the bill.

PYTEST_DONT_REWRITE: its assertions carry their own messages, and tests import from it.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from qwenbuild.emulator.server import Running
from qwenbuild.engine.engine import Engine
from qwenbuild.events import Event, Finished, ImageFinished, Outcome
from qwenbuild.options import Options
from qwenbuild.request import Submission
from qwenbuild.specs import project, user_config
from qwenbuild.specs.action import Action
from qwenbuild.storage.action_result import is_digest
from qwenbuild.storage.state import State

from .harness import Sandbox

KEY = "sk-canary-5f1d0a7c9b3e4862"
"""The API key of every build. No file may hold it afterwards."""

QUICK = {"submits": '"1000/second"', "poll_s": "0.02", "retry_wait_s": "0.002", "timeout_s": "20"}
"""Settings of the provider that keep waits short."""

PATIENCE_S = 60.0  # enough for a busy machine


@dataclass
class Built:
    """How a build in this process ended, and its events."""

    finished: Finished
    events: list[Event] = field(repr=False)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """How each cell ended."""
        return {event.name: event.outcome for event in self.events if isinstance(event, ImageFinished)}

    @property
    def text(self) -> str:
        """All problems as text."""
        return "\n".join(str(problem) for problem in self.finished.problems)


@dataclass
class Studio(Sandbox):
    """A project with its own store, and the service that renders its images."""

    service: Running = field(kw_only=True)

    @classmethod
    def make(cls, folder: Path, service: Running, specs: dict[str, str], *, config: str = "", **table: str) -> Studio:
        """Write a project below `folder`. `table` holds settings of the provider as TOML values."""
        settings = "\n".join(f"{key} = {value}" for key, value in {**QUICK, **table}.items())
        made = cls(folder / "project", folder / "store", service.environment(KEY), service=service)
        made.write({"qwenbuild.toml": f"{config}\n[providers.dashscope]\n{settings}\n"})
        made.write({f"specs/{name}.toml": text for name, text in specs.items()})
        return made

    # --- building ---

    def engine(self, **choices: Any) -> Engine:
        """Return the engine of this project, with its environment."""
        return Engine(project.find(self.root, self.environ), Options(**choices), self.environ)

    def build_inside(self, **choices: Any) -> Built:
        """Build in this process."""
        events: list[Event] = []
        return Built(self.engine(**choices).build(events.append), events)

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command, and kill it at the end of the context if it still runs."""
        with self.popen(*arguments) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()

    def kill_when(self, condition: Callable[[], object], *arguments: str) -> None:
        """Start a build, and kill it with SIGKILL as soon as the condition holds."""
        with self.started("build", *arguments) as process:
            self.wait(condition, process)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL

    def wait(self, condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
        """Wait until the condition holds. Fails if the process ends before."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            if process is not None and process.poll() is not None:
                raise AssertionError(f"ended with {process.returncode} before its time: {process.communicate()}")
            if time.monotonic() > until:
                raise AssertionError("waited in vain")
            time.sleep(0.01)

    # --- state and bill ---

    def calls(self, operation: str) -> int:
        """Return the number of calls of this operation at the service."""
        return sum(call["operation"] == operation for call in self.service.requests())

    @property
    def submissions(self) -> list[Submission]:
        """The state's open submissions."""
        with contextlib.closing(State.of(self.root, create=False)) as state:
            return state.open_submissions()

    @property
    def actions(self) -> list[Action]:
        """All actions of the project."""
        return self.engine().actions()

    @property
    def billed(self) -> Counter[tuple[str, int]]:
        """The number of times that each request was billed, by prompt and seed."""
        return Counter((record["prompt"], record["seed"]) for record in self.service.bill()["records"])

    # --- the audit ---

    def audit(self, unknown: Iterable[str] = (), *, billed_unknown: int | None = None) -> None:
        """Check that each image exists, is right, and was billed once, and that nothing is in flight.

        Exceptions are the cells named in `unknown`: each was billed at most once, all together
        `billed_unknown` times if given.
        """
        unknown = set(unknown)
        actions = self.actions
        there = {action.key for action in actions if action.name not in unknown}
        wanted = Counter({_wire(action): 1 for action in actions if action.key in there})
        lost = {_wire(action) for action in actions if action.key not in there}
        billed = self.billed
        found = Counter({name: count for name, count in billed.items() if name not in lost})
        assert found == wanted, f"billed {found}, not {wanted}"
        of_lost = [billed[name] for name in lost]
        assert all(count <= 1 for count in of_lost), f"billed {of_lost}"
        assert billed_unknown in (None, sum(of_lost)), f"billed {of_lost}"
        self.check_outputs(unknown)
        left = sorted((one.request.prompt, one.request.seed, one.handle) for one in self.submissions)
        assert left == sorted((*name, "") for name in lost), f"open submissions: {left}"

    def check_outputs(self, missing: Iterable[str] = ()) -> None:
        """Check that `out/` holds exactly the right images, complete, of all cells except `missing`."""
        missing = set(missing)
        wanted = {action.output: action for action in self.actions if action.name not in missing}
        outputs = self.outputs()
        assert sorted(outputs) == sorted(wanted), f"out/ holds {sorted(outputs)}, not {sorted(wanted)}"
        for name, content in outputs.items():
            check_image(content, wanted[name])
        strays = [path for path in (self.root / "out").rglob("*") if path.is_file() and path.suffix != ".png"]
        assert strays == [], strays

    def search(self, needle: str) -> list[Path]:
        """Return the files of project, store and home that contain the text."""
        return [path for path in self.root.parent.rglob("*") if path.is_file() and needle.encode() in path.read_bytes()]


def check_image(content: bytes, action: Action) -> None:
    """Check that the PNG is complete, and has the size and the null provider's colour of the request."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.size == tuple(action.request.size), f"{action.name}: {image.size}"
        colour = action.request._replace(family="null-1").key[:6]
        assert image.convert("RGB").getpixel((7, 7)) == tuple(bytes.fromhex(colour)), f"{action.name}: another image"


def be_sole_user() -> None:
    """Write into the user's own config that nothing but qwenbuild on this machine uses the account."""
    path = user_config.path()
    assert path
    path.parent.mkdir(parents=True)
    path.write_text("[providers.dashscope]\nsole_user = true\n")


def cards(count: int, **extra: str) -> dict[str, str]:
    """Return a spec with `count` cells of different prompts; `extra` are its top-level keys as TOML values."""
    lines = "\n".join(f"{key} = {value}" for key, value in extra.items())
    rows = ", ".join(f'"{number:03}"' for number in range(count))
    return {"cards": f'{lines}\n[image.card]\nprompt = "card {{{{ no }}}}"\nmatrix.no = [{rows}]\n'}


def unresolved(built: Built) -> list[str]:
    """Return the names of the cells that a build reported as UNKNOWN."""
    return [name for name, outcome in built.outcomes.items() if outcome is Outcome.UNKNOWN]


def stored_images(root: Path) -> int:
    """Return the number of action results in the store `root`."""
    return sum(is_digest(path.name) for path in (root / "ac").glob("*/*"))


def hold(path: Path) -> contextlib.AbstractContextManager[object]:
    """Hold a lock that builds need, so that they wait."""
    from filelock import FileLock

    os.makedirs(path.parent, exist_ok=True)
    return FileLock(path).acquire()


def _wire(action: Action) -> tuple[str, int]:
    return action.request.prompt, action.request.seed
