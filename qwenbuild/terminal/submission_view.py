"""The view of a submission: its age and when its result expires; of a lost answer, the tasks that may be its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qwenbuild.candidates import Candidate, Likeness, Search

from .style import duration, local_time

if TYPE_CHECKING:
    from qwenbuild.request import Submission

_MOST = 5  # candidates; `--json` has all
_MOST_PROMPT = 50  # characters


def shortened(prompt: str) -> str:
    """Return the beginning of a prompt, for a list."""
    return prompt if len(prompt) <= _MOST_PROMPT else f"{prompt[:_MOST_PROMPT].rstrip()}…"


def lifetime(sent_at_s: float, expires_at_s: float | None) -> str:
    """Return a request's age, and when its result expires: `sent 3 min 20 s ago, expires in 23 h 56 min`."""
    now_s = time.time()
    sent = f"sent {duration(max(0.0, now_s - sent_at_s))} ago"
    return sent if expires_at_s is None else f"{sent}, {expiry(expires_at_s, now_s)}"


def expiry(expires_at_s: float, now_s: float) -> str:
    """Return when a result expires: `expires in 23 h 56 min`, or `expired 2 min 0 s ago`."""
    left_s = expires_at_s - now_s
    return f"expires in {duration(left_s)}" if left_s > 0 else f"expired {duration(-left_s)} ago"


def submission_lines(submission: Submission) -> list[str]:
    """Return the lines about a submission; none about a lost answer if the list of tasks was not read yet.

    The texts of the service and of specs in it are not escaped.
    """
    search = submission.search
    if submission.handle:
        name = f"task {submission.task_id}: " if submission.task_id else ""
        return [f"{name}{lifetime(submission.intended_at_s, submission.expires_at_s)}"]
    if search is None:
        return []
    lines = [_candidate(it, submission) for it in search.candidates[:_MOST]]
    if more := len(search.candidates) - len(lines):
        lines.append(f"{more:,} more candidates; `qwenbuild tasks --json` lists all")
    return [*lines, f"by the list of {local_time(search.read_at_s)}: {_verdict(search)}"]


def submission_dict(submission: Submission) -> dict[str, Any]:
    """Return what `--json` prints about a submission; nothing of a lost answer if the list was not read yet."""
    if submission.handle:
        return {"task": submission.task_id, "intended_at_s": submission.intended_at_s,
                "expires_at_s": submission.expires_at_s}  # fmt: skip
    if submission.search is None:
        return {}
    table = submission.search.as_dict()
    return {
        "candidates": table["candidates"], "searched_at_s": table["read_at_s"], "is_whole": table["is_whole"],
        "decides_from_s": table["decides_from_s"],
    }  # fmt: skip


def _candidate(it: Candidate, submission: Submission) -> str:
    when = "created at an unknown time"
    if it.created_at_s is not None:
        after_s = it.created_at_s - submission.intended_at_s
        when = f"created {duration(abs(after_s))} {'after' if after_s >= 0 else 'before'} the request"
    prompt = {
        Likeness.SAME: "the same prompt",
        Likeness.UNCLEAR: f"a similar prompt: {shortened(it.prompt)}",
        Likeness.DIFFERENT: f"another prompt: {shortened(it.prompt)}",
        Likeness.HIDDEN: "no prompt to compare",
    }[it.likeness]
    rivals = f"; it may also be the task of {it.rivals} other lost answer{'s' * (it.rivals > 1)}" if it.rivals else ""
    return f"candidate {it.id}  {it.status}  {when}  {prompt}{rivals}"


def _verdict(search: Search) -> str:
    if search.unexplained:
        return "`qwenbuild tasks adopt TASK CELL` adopts a candidate"
    if not search.is_whole:
        return "no candidate, but the list was not complete"
    return f"no candidate; a list after {local_time(search.decides_from_s)} proves that nothing was billed"
