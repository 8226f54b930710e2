"""Findings: collects the problems of a project's files, so that one run tells all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from qwenbuild.errors import MOST_PROBLEMS, ProjectError, in_order
from qwenbuild.problems import Problem


class DataRow(NamedTuple):
    """The row of a data file that a cell was made from; `line` is 0 if the file can't be read any more."""

    path: str
    line: int
    cell: str  # such as `copy=en`

    def __str__(self) -> str:
        return f"row: {self.path}{f':{self.line}' if self.line else ''} ({self.cell})"


_LACKING = re.compile(r'has no field "|^undefined ')  # what a template reads, and nothing declares


class Findings:
    """Collects problems: each claim and place once, and at most `most` for each image; of others, only the lines.

    A column that many rows lack is told for the first of them.
    """

    def __init__(self, most: int | None = MOST_PROBLEMS) -> None:
        """With `most` None, all problems are kept."""
        self.problems: list[Problem] = []
        self.added = 0  # problems added so far, including repeated ones
        self._most = most
        self._seen: set[tuple[str, ...]] = set()
        self._counts: dict[str, int] = {}
        self._first: dict[tuple[object, ...], int] = {}  # of rows with the same problem: its number in `problems`
        self._alike: dict[int, dict[str, list[int]]] = {}  # the lines of the other rows, by that number and by file
        self._lines: dict[str, dict[str, list[int]]] = {}  # of problems beyond the most, by image and file

    def add(self, problems: Iterable[Problem], image: str = "", cell: str = "", rows: Sequence[DataRow] = ()) -> None:
        """Add problems of an image, or of a file if `image` is empty. Problems of files are not limited.

        If a `cell` was made from `rows` of data, each problem is told once for these rows, and names both.
        """
        for problem in problems:
            self.added += 1
            claim = problem.claim.replace(cell, "") if rows else problem.claim
            facts = [str(row) for row in rows]
            mark = (claim, str(problem.place), *facts)
            if mark in self._seen:
                continue
            self._seen.add(mark)
            same = (image, claim, problem.place, *(fact.replace(cell, "") for fact in problem.facts))
            is_lacking = self._most is not None and _LACKING.search(problem.claim)
            if rows and is_lacking and (first := self._first.get(same)) is not None:
                for path, line, _ in rows:
                    self._alike.setdefault(first, {}).setdefault(path, []).append(line)
                continue
            self._counts[image] = self._counts.get(image, 0) + 1
            if image and self._most is not None and self._counts[image] > self._most:
                for path, line in [row[:2] for row in rows] or [_line_of(problem)]:
                    self._lines.setdefault(image, {}).setdefault(path, []).append(line)
                continue
            if rows:
                self._first[same] = len(self.problems)
                is_named = any(cell in text for text in (problem.claim, *problem.facts))
                named = () if is_named else (f"cell: {cell}",)
                problem = replace(problem, facts=[*problem.facts, *named, *facts])
            self.problems.append(problem)

    def raise_if_any(self) -> None:
        """Raise ProjectError if there is any problem; its problems are sorted by file and line."""
        more = []
        for image, files in self._lines.items():
            rest = self._counts[image] - (self._most or 0)
            facts = [fact for path, lines in files.items() for fact in _listed(path, lines)]
            claim = f"{image}: {rest:,} more problem{'s' * (rest > 1)} like these"
            more.append(Problem(claim, facts=facts, hint="--all-errors shows all of them", name="more-problems"))
        for at, files in self._alike.items():
            count = max(map(len, files.values()))
            facts = [fact for path, lines in files.items() for fact in _listed(path, lines)]
            told = f"{count:,} more {'row has' if count == 1 else 'rows have'} the same problem"
            self.problems[at] = replace(self.problems[at], facts=[*self.problems[at].facts, told, *facts])
        if self.problems:
            raise ProjectError([*sorted(self.problems, key=in_order), *more])


def _line_of(problem: Problem) -> tuple[str, int]:
    return (problem.place.path, problem.place.line) if problem.place else ("", 0)


def _listed(path: str, lines: Sequence[int]) -> Iterator[str]:
    """Yield facts such as `data/copy.csv: lines 7, 9-12`, each of some lines of a file."""
    spans: list[list[int]] = []
    for line in sorted({*lines} - {0}):
        if spans and spans[-1][1] == line - 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    if len(spans) == 1 and len(lines) > 1 and spans[0][0] == spans[0][1]:
        return  # a place that many cells share: it is shown already
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:_MOST_SPANS]]
    for start in range(0, len(texts), _SPANS_AT_ONCE):
        some = texts[start : start + _SPANS_AT_ONCE]
        yield f"{path}: line{'s' * (some != [str(spans[0][0])])} {', '.join(some)}"
    if len(spans) > _MOST_SPANS:
        yield f"{path}: and later lines"


_SPANS_AT_ONCE, _MOST_SPANS = 15, 1_500
