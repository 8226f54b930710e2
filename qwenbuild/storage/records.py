"""The records of the state: outputs, images that were there before, submissions and runs.

The cells of a state may hold anything, because somebody may have sent it with the project.
"""

from __future__ import annotations

import contextlib
import json
import re
import stat
from typing import Any, Final, NamedTuple

from qwenbuild.digest import canonical_json
from qwenbuild.errors import ProviderError, QwenbuildError
from qwenbuild.events import Outcome
from qwenbuild.parameters import recorded
from qwenbuild.request import Request, Submission

from .action_result import checked_digest

DAMAGE: Final = (ValueError, KeyError, TypeError, RecursionError)
"""The errors that the functions below raise for cells that hold something else."""

_AMOUNT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(E[+-]?[0-9]{1,2})?", re.ASCII)
_LAST_TIME_S = 1e11  # the year 5138


class Output(NamedTuple):
    """An output as qwenbuild wrote it: its request's key, its bytes' SHA-256, its cell's name, its file status.

    The fields `st_*` have the names of `os.stat_result`, so a record can be used as the status of its file.
    """

    path: str
    key: str
    image: str
    st_size: int
    st_mtime_ns: int
    st_ino: int
    name: str

    @property
    def st_mode(self) -> int:
        """The type of a regular file."""
        return stat.S_IFREG


class Failure(NamedTuple):
    """The last failure of an output: its request's key, the service's host, when it was, and what was said.

    `host` is empty without a service. `at_s` is in seconds since the epoch, 0 if unknown. If `is_final`, the request is
    not sent to this host again without the user's order.
    """

    path: str
    key: str
    host: str
    at_s: float
    is_final: bool
    claim: str
    facts: tuple[str, ...]
    hint: str
    code: str

    @classmethod
    def of(cls, error: QwenbuildError, path: str, key: str, *, host: str = "", at_s: float = 0.0) -> Failure:
        """Return the failure that an error was for an output."""
        code = error.code if isinstance(error, ProviderError) else ""
        return cls(path, key, host, at_s, error.is_final, error.claim, tuple(error.facts), error.hint or "", code)

    @property
    def reason(self) -> str:
        """What happened, and what was said about it."""
        return ": ".join([self.claim, *self.facts[:1]])

    def as_dict(self) -> dict[str, Any]:
        """Return the failure as `--json` prints it; what is unknown is None."""
        return {
            "at_s": round(self.at_s, 3) or None, "claim": self.claim, "facts": list(self.facts),
            "hint": self.hint or None, "code": self.code or None,
        }  # fmt: skip

    def as_row(self) -> tuple[Any, ...]:
        """Return the row of the state."""
        error = {"claim": self.claim, "facts": self.facts, "hint": self.hint, "code": self.code}
        return (self.path, self.key, self.host, self.at_s, int(self.is_final), canonical_json(error).decode())


class PastImage(NamedTuple):
    """An image that was at an output's path: its request's key, its SHA-256, when it was written, and its request."""

    key: str
    image: str
    at_s: float  # seconds since the epoch
    request: dict[str, Any] | None


class Run(NamedTuple):
    """A build. Times are in seconds since the epoch. Without an end it is running, or was killed.

    `summary` counts the outputs by `events.Outcome`, and has `cost`: decimal texts by currency. `seconds` is how long
    the build took. Builds of older versions have no `exit_code`, and the oldest no `cost`. `dropped` and `returned` are
    paths of outputs that the build did not write: no spec declares them any more, or one declares them again.
    """

    number: int
    started_at_s: float
    finished_at_s: float | None
    summary: dict[str, Any] | None
    seconds: float | None = None
    exit_code: int | None = None
    dropped: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return when the build began and ended, and its summary, as a JSON-ready table."""
        return {"started_at_s": self.started_at_s, "finished_at_s": self.finished_at_s, "summary": self.summary}


RUN_COLUMNS: Final = "id, started_at_s, finished_at_s, summary"
"""The columns that `run` takes, in its order."""


def request_fields(text: object) -> dict[str, Any]:
    """Return the fields of a recorded request: texts, numbers, truths, and parameters. Anything else is left out."""
    fields = _table(text)
    table = fields.pop("parameters", None)
    found = {name: value for name, value in fields.items() if isinstance(value, str | int | float)}
    with contextlib.suppress(ValueError):
        if recorded(table):
            found["parameters"] = table
    return found


def submission(
    id_: int, key: object, request: object, provider: object, handle: object, context: object, at_s: object,
    forced: object, uid: object,
) -> Submission:  # fmt: skip
    """Return the submission in a row of the state."""
    return Submission(
        id_, checked_digest(_text(key)), Request.from_dict(_table(request)), _text(provider), _text(handle),
        _table(context), _time_s(at_s), bool(forced), _text(uid),
    )  # fmt: skip


def failure(path: object, key: object, host: object, at_s: object, is_final: object, error: object) -> Failure:
    """Return the failure in a row of the state."""
    said = _table(error)
    facts = tuple(map(_text, said["facts"]))
    claim, hint, code = (_text(said[name]) for name in ("claim", "hint", "code"))
    return Failure(
        _text(path), checked_digest(_text(key)), _text(host), _time_s(at_s), bool(is_final), claim, facts, hint, code
    )


def run(number: int, begun_s: object, ended_s: object, summary: object) -> Run:
    """Return the build in a row of the state."""
    begun, ended = _time_s(begun_s), None if ended_s is None else _time_s(ended_s)
    if summary is None:
        return Run(number, begun, ended, None)
    said = _table(summary)
    dropped, returned = (tuple(map(_text, said.pop(name, ()))) for name in ("dropped", "returned"))
    code = said.pop("exit_code", None)
    took = said.pop("seconds", None if ended is None else max(0.0, ended - begun))
    counts = [said.get(end.value, 0) for end in Outcome]
    if any(type(count) is not int for count in (*counts, code or 0)):
        raise TypeError("a number was expected")
    for amount in dict(said.get("cost", {})).values():
        if not _AMOUNT.fullmatch(_text(amount)):
            raise ValueError("an amount was expected")
    return Run(number, begun, ended, said, None if took is None else _time_s(float(took)), code, dropped, returned)


def _table(text: object) -> dict[str, Any]:
    value = json.loads(_text(text))
    if not isinstance(value, dict):
        raise TypeError("a JSON object was expected")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _time_s(value: object) -> float:
    """Return a time in seconds since the epoch, if it can be shown as a date."""
    if not isinstance(value, float) or not 0 <= value < _LAST_TIME_S:
        raise ValueError("a time was expected")
    return value
