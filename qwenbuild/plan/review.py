"""The review: how a plan's outputs differ from the lock of another git revision.

Invariant: only the lock of that revision is read, none of its other files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qwenbuild.errors import UsageError
from qwenbuild.problems import visible
from qwenbuild.specs.action import Action
from qwenbuild.storage import lock, lock_format
from qwenbuild.storage.lock import Lock

from .diff import summary
from .plan import Plan, Step

if TYPE_CHECKING:
    from subprocess import CompletedProcess

GIT: Final = ("git", "-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false")
"""How git is called. A clone may hold a folder that looks like a bare repository. Its config is a stranger's, and git
would run the program that it names."""

_GIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """An output that differs from the base's lock: `before` is its request there.

    `kind` is "added", "changed", "repinned" (the same request, other bytes) or "dropped".
    """

    kind: str
    name: str
    path: str
    step: Step | None = None
    before: Mapping[str, Any] | None = None

    @property
    def reason(self) -> str:
        """What changed in its request, if the old request is known; else the kind of change."""
        if self.kind == "repinned":
            return "the lock pins other bytes"
        if self.kind != "changed" or self.step is None:
            return self.kind
        return summary(self.before, self.step.action.recorded) if self.before else "its request changed"


def base(root: Path, revision: str) -> Lock | None:
    """Return the lock of another revision of the git repository around `root`; None if that revision has none.

    Raises UsageError if there is no git, no repository or no such revision, ProjectError if that lock is
    wrong.
    """
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit.returncode:
        inside = _git(root, "rev-parse", "--is-inside-work-tree")
        if inside.returncode:
            raise UsageError(
                f"{root} is in no git repository", hint="only there revisions can be compared", name="git-failed"
            )
        hint = "is it fetched? A shallow checkout has few: `git fetch --depth=1 origin REV`"
        raise UsageError(f'no revision "{visible(revision)}"', hint=hint, name="unknown-revision")
    found = commit.stdout.decode().strip()
    content = _git(root, "cat-file", "blob", f"{found}:./{lock.NAME}")  # the bytes, without git's filters
    if content.returncode:
        return None
    return Lock(lock_format.parse(content.stdout.decode("utf-8", "replace"), f"{revision}:{lock.NAME}"))


def _git(root: Path, *arguments: str) -> CompletedProcess[bytes]:
    import subprocess  # here, because most plans are compared with no revision

    try:
        return subprocess.run(  # noqa: S603
            [*GIT, "-C", str(root), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise UsageError(
            "git is not installed", hint="the lock of another revision is read with it", name="git-failed"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git failed: {error}", name="git-failed") from None


def _keys(action: Action) -> Sequence[str]:
    """Return the keys under which another lock may have the image that an action wants."""
    return (action.key,) if action.emulated else (action.key, action.request.key, *action.request.older_keys)


def changes(plan: Plan, before: Lock, request_of: Callable[[str], Mapping[str, Any] | None]) -> list[Change]:
    """Return how the plan's outputs differ from another lock, in the plan's order; dropped ones come last.

    Dropped outputs are reported only if the plan is of the whole project.
    """
    found = []
    for step in plan.steps:
        action, pin = step.action, before.pins.get(step.action.output)
        if pin is None:
            found.append(Change("added", action.name, action.output, step))
        elif pin.key not in _keys(action):
            found.append(Change("changed", action.name, action.output, step, request_of(pin.key)))
        elif (now := plan.lock.pins.get(action.output)) and now.key == pin.key and now.image != pin.image:
            found.append(Change("repinned", action.name, action.output, step))
    if len(plan.steps) == len(plan.actions):
        left = before.left({action.output for action in plan.actions})
        found += [Change("dropped", it.name, path) for path, it in left.items()]
    return found


def change_dict(change: Change) -> dict[str, Any]:
    """Return a change as `plan --json` prints it."""
    table: dict[str, Any] = {
        "event": "change", "kind": change.kind, "name": change.name, "path": change.path, "reason": change.reason,
    }  # fmt: skip
    if change.step:
        table["verdict"] = change.step.verdict.value
    return table
