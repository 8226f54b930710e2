"""A finding: what `doctor` says about one subject, such as the key or the lock.

Providers return findings as well: see `provider.Diagnosable`. A finding never holds a key or a token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from .errors import QwenbuildError


class Level(StrEnum):
    """How serious a finding is.

    OK: nothing to do. WARN: worth a look; builds still work. FAIL: must be fixed before the
    project can be built as it is configured.
    """

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one `subject`: a claim, the facts behind the claim, and a hint what to do.

    `name` names the entry that `qwenbuild explain-error` shows, if there is something to do.
    """

    subject: str
    level: Level
    claim: str
    facts: tuple[str, ...] = ()
    hint: str | None = None
    name: str = field(default="", compare=False)

    @classmethod
    def of_error(cls, subject: str, error: QwenbuildError, level: Level = Level.FAIL) -> Self:
        """Return the finding that reports `error`: its first problem in full, and how many others there are."""
        first, *more = error.problems
        place = (f"at {first.place}",) if first.place else ()
        others = (f"{len(more)} more mistakes; `qwenbuild plan` shows them all",) if more else ()
        return cls(subject, level, first.claim, (*place, *first.facts, *others), first.hint, first.name)
