"""Writes docs/reference/errors.md from the entries of errors: `python -m tests.docs.errors_page`.

A test compares the page with the entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qwenbuild.error_entries import GROUPS, Entry, of_group

from .pages import REPOSITORY

PAGE = REPOSITORY / "docs/reference/errors.md"

_HEAD = """\
# Errors by name

Each error has a name that stays. `qwenbuild explain-error NAME` prints what stands here, also without a network. The last line after an error says the name.
With `--json`, events have it in `problem_names`, findings of `doctor` in `name`, and remarks of `lint` in `rule`. In a JUnit report it is the `type` of a failure.
[Exit codes](exit-codes.md) say how a command ends, and [lost answers](../how-to/lost-answers.md) what to do about money.
"""  # noqa: E501


def text() -> str:
    """Return the page."""
    return "\n".join([_HEAD, _contents(), *(line for group in GROUPS for line in _section(group))])


def _contents() -> str:
    anchors = {group: re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for group, title in GROUPS.items()}
    return "\n".join([*(f"- [{GROUPS[group]}](#{anchor})" for group, anchor in anchors.items()), ""])


def _section(group: str) -> Iterator[str]:
    yield f"## {GROUPS[group]}\n"
    for entry in of_group(group):
        yield from _entry(entry)


def _entry(entry: Entry) -> Iterator[str]:
    yield f"### {entry.name}\n"
    title = f"{entry.title[:1].upper()}{entry.title[1:]}"
    yield f"**{title}.** {entry.cause}\n"
    if len(entry.remedy) == 1:
        yield f"{entry.remedy[0]}\n"
    else:
        yield "\n".join(f"{number}. {step}" for number, step in enumerate(entry.remedy, start=1)) + "\n"
    if entry.example:
        yield f"```text\n{entry.example}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
