from __future__ import annotations

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild import errors
from qwenbuild.errors import ProjectError, QwenbuildError
from qwenbuild.problems import Place, Problem, visible

_BRANCH = re.compile(r"^(?P<stem>[│ ]*(?:[├└]── )?)(?P<name>[A-Z]\w+) {2,}(?P<what>.*)$")


def _documented() -> dict[str, tuple[str, str]]:
    """Return (parent, description) of each class in the tree at the top of the module."""
    assert errors.__doc__ is not None
    found: dict[str, tuple[str, str]] = {}
    parents: list[str] = []
    for line in errors.__doc__.splitlines():
        if match := _BRANCH.match(line):
            depth = len(match["stem"]) // 4
            del parents[depth:]
            found[match["name"]] = (parents[-1] if parents else "Exception", match["what"])
            parents.append(match["name"])
    return found


def _classes() -> dict[str, type[QwenbuildError]]:
    return {name: thing for name, thing in inspect.getmembers(errors, inspect.isclass)
            if issubclass(thing, QwenbuildError)}  # fmt: skip


def test_the_tree_at_the_top_lists_every_class_below_its_parent() -> None:
    """The documented tree and the classes are the same."""
    assert {name: parent for name, (parent, _) in _documented().items()} == {
        name: kind.__bases__[0].__name__ for name, kind in _classes().items()
    }


def test_the_tree_at_the_top_has_the_flags() -> None:
    """`retryable` and `stops the run` stand beside exactly the classes with these flags."""
    documented = {name: ("retryable" in what, "stops the run" in what) for name, (_, what) in _documented().items()}
    documented["QwenbuildError"] = (False, False)  # its description explains the flags
    assert documented == {name: (kind.retryable, kind.stops_run) for name, kind in _classes().items()}


def test_the_tree_at_the_top_has_the_exit_codes() -> None:
    """A class with `exit 2` has exit code 2, and every ProviderError has exit code 1."""
    documented = {
        name: int(match[1]) for name, (_, what) in _documented().items() if (match := re.search(r"exit (\d)", what))
    }
    assert documented == {name: kind.exit_code for name, kind in _classes().items() if name in documented}
    assert {kind.exit_code for kind in _classes().values() if issubclass(kind, errors.ProviderError)} == {1}


def test_every_class_says_what_happened() -> None:
    """Each class has a docstring of its own."""
    assert [name for name, kind in _classes().items() if not kind.__dict__.get("__doc__")] == []


def test_an_error_reads_as_claim_facts_and_hint() -> None:
    """The text of an error looks like a message of a compiler."""
    error = QwenbuildError("the store can't be read", facts=["store: /x", "path:  /x/ac"], hint="set permissions")
    assert str(error) == (
        "error: the store can't be read\n"
        "  = store: /x\n"
        "  = path:  /x/ac\n"
        "  = hint: set permissions"
    )  # fmt: skip


def test_a_project_error_shows_all_its_problems() -> None:
    """An empty line separates the problems."""
    error = ProjectError([Problem("one"), Problem("two", Place("specs/a.toml"))])
    assert str(error) == "error: one\n\nerror: two\n --> specs/a.toml"
    assert len(error.problems) == 2


def test_a_project_error_needs_a_problem() -> None:
    """A ProjectError without problems raises ValueError."""
    with pytest.raises(ValueError, match="at least one"):
        ProjectError([])


def test_a_provider_error_carries_what_support_asks_for() -> None:
    """A provider's error keeps code, request id and delay."""
    error = errors.Throttled("slow down", code="Throttling.RateQuota", request_id="r-1", retry_after_s=2.5)
    assert (error.code, error.request_id, error.retry_after_s, error.claim) == (
        ("Throttling.RateQuota", "r-1", 2.5, "slow down")
    )  # fmt: skip


@given(st.text(), st.lists(st.text(), max_size=3), st.text())
def test_an_errors_text_is_visible_throughout(claim: str, facts: list[str], hint: str) -> None:
    """Claims, facts and hints from strangers add no line and no control character."""
    text = str(QwenbuildError(claim, facts=facts, hint=hint))
    assert visible(text, keep="\n") == text
    assert text.count("\n") == len(facts) + bool(hint)
