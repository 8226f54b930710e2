"""The candidates: tasks at the service that a submission with a lost answer may have made.

A service's list shows a task's model and time. The prompt comes only from a finished task; the size and the seed never
do. Other people may use the account. So a candidate is no proof: the user decides, unless nobody else uses the account.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

ADOPTED = "adopted"
"""The key in `Submission.context` that is true for an adopted task. It also stands in the image's provenance."""


class Likeness(StrEnum):
    """How the prompt of a task compares with the prompt of a submission."""

    SAME = "same"
    DIFFERENT = "different"  # so the submission has certainly not made the task
    UNCLEAR = "unclear"  # alike, but not equal: a service may have changed it
    HIDDEN = "hidden"  # not finished, or the service shows no prompt


def likeness(reported: str, prompt: str) -> Likeness:
    """Compare the prompt that a task reports (empty if it reports none) with the prompt that was sent.

    Only letters and digits can make two prompts different, and a task may report only the beginning of what was sent:
    a service may change spaces and quotes, and may cut.
    """
    if not reported.strip():
        return Likeness.HIDDEN
    if reported.strip() == prompt.strip():
        return Likeness.SAME
    return Likeness.UNCLEAR if _letters(prompt).startswith(_letters(reported)) else Likeness.DIFFERENT


def _letters(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text).casefold() if letter.isalnum())


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that no submission on record owns, and that a submission with a lost answer may have made.

    `handle` is what `Submission.handle` would be. `status` is the service's own word. `created_at_s` is in seconds
    since the epoch by this machine's clock, None if unknown. `prompt` is empty unless the task has finished. `rivals`
    is the number of other submissions with lost answers that may have made the task.
    """

    handle: str
    id: str
    status: str
    created_at_s: float | None
    prompt: str
    likeness: Likeness
    rivals: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """What the service's list of tasks says about one submission with a lost answer.

    Times are in seconds since the epoch by this machine's clock. The list was read at `read_at_s`. `is_whole`: it has
    every task of the account that the submission can have made. A list that is read before `decides_from_s`
    does not prove that there is no task. Tasks that certainly cost nothing (failed, cancelled) are no candidates.
    """

    read_at_s: float
    decides_from_s: float
    is_whole: bool
    candidates: tuple[Candidate, ...] = ()

    @property
    def unexplained(self) -> tuple[Candidate, ...]:
        """The candidates whose prompt does not rule them out."""
        return tuple(it for it in self.candidates if it.likeness is not Likeness.DIFFERENT)

    @property
    def is_not_billed(self) -> bool:
        """Whether the list proves that the submission made no task that is billed."""
        return self.is_whole and self.read_at_s >= self.decides_from_s and not self.unexplained

    @property
    def certain(self) -> Candidate | None:
        """The one task that the submission made, if nobody else uses the account; None if this is not certain."""
        if not self.is_whole or len(self.unexplained) != 1:
            return None
        (one,) = self.unexplained
        return one if one.likeness is Likeness.SAME and not one.rivals else None

    def as_dict(self) -> dict[str, Any]:
        """Return the search as a JSON-ready table."""
        return {**asdict(self), "candidates": [asdict(it) for it in self.candidates]}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Return the search of such a table. Raises ValueError, KeyError or TypeError for any other table."""
        candidates = tuple(Candidate(**{**it, "likeness": Likeness(it["likeness"])}) for it in table["candidates"])
        return cls(**{**table, "candidates": candidates})
