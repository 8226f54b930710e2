"""Tests of the guarded worker: it makes texts, and it dies of time or memory instead of the build."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.specs import guarded
from qwenbuild.specs.guarded import Answer, Guard, Job
from qwenbuild.specs.rows import Row


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard()
    yield made
    if made._worker is not None:
        made._worker.kill()
        made._stopped()


def job(source: str = "", name: str | None = None, folder: Path = Path("nowhere"), **values: Any) -> Job:
    return Job(folder, "templates", name, source, values, {})


def test_the_worker_makes_texts(guard: Guard, tmp_path: Path) -> None:
    """Of sources and of files, with all types of values, one after the other in one process."""
    (tmp_path / "a.j2").write_text("{{ copy.title }} {{ n }}{% include 'b.j2' ignore missing %}")
    row = Row({"title": "Ball! 一起"}, "en")
    first = guard.make(
        job("{{ copy }} {{ copy.title }}{% for i in items %}{{ i }}{% endfor %}", copy=row, items=[1, 2.5])
    )
    assert (first.text, first.failure, first.texts) == ("en Ball! 一起12.5", None, {})
    assert first.steps > 0
    worker = guard._worker
    second = guard.make(job(name="a.j2", folder=tmp_path, copy=row, n=3))
    assert second == Answer("Ball! 一起 3", 0 + second.steps, None, {
        "a.j2": "{{ copy.title }} {{ n }}{% include 'b.j2' ignore missing %}", "b.j2": None,
    })  # fmt: skip
    assert guard._worker is worker


def test_files_that_were_read_are_not_read_again(guard: Guard, tmp_path: Path) -> None:
    """A build sees each file once, so a save in between changes nothing."""
    (tmp_path / "a.j2").write_text("new")
    answer = guard.make(
        job(name="a.j2", folder=tmp_path)._replace(texts={"a.j2": "old {% include 'b.j2' %}", "b.j2": "part"})
    )
    assert answer.text == "old part"


def test_a_failure_comes_back_with_its_line(guard: Guard) -> None:
    """The parent shows it at its place."""
    answer = guard.make(job("one\n{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"))
    assert answer.failure is not None
    assert (answer.failure.message, answer.failure.line) == ("the template takes more than 1,000,000 steps", 2)
    assert answer.failure.is_final
    wrong = guard.make(job("\n\n{{ nothing }}"))
    assert wrong.failure is not None
    assert (wrong.failure.kind, wrong.failure.line) == ("undefined", 3)


# What no template can do any more: code that works without counting. The worker gets it from a filter of its own.
_FAULTY = """
import sys
from qwenbuild.specs import guarded, sandbox
plain = sandbox.Sandbox.__init__
def faulty(self, *arguments):
    plain(self, *arguments)
    self.filters["spin"] = lambda n: "".join(str(n) for _ in iter(int, 1))
    self.filters["spin_in_c"] = lambda n: 10 ** 10 ** n
    self.filters["fill"] = lambda n: "x" * 10 ** n
    self.filters["names"] = lambda n: " ".join(__import__("os").environ)
    self.filters["leave"] = lambda n: __import__("os")._exit(n)
sandbox.Sandbox.__init__ = faulty
guarded.serve()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows can't limit the CPU time or the memory of a process")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ 1 | spin }}", "the template takes more than 0.2 seconds"),
        ("{{ 10 | spin_in_c }}", "the template takes more than 0.2 seconds"),
        ("{{ 10 | fill }}", "it needs too much memory"),
        ("{{ 7 | leave }}", "the process that renders the template ended with code 7"),
    ],
)
def test_a_worker_that_does_not_count_is_ended(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    """Time and memory are the backstop: the worker dies, the parent says so, and the next job gets a new worker."""
    monkeypatch.setattr(guarded, "CPU_S", 0.2)
    monkeypatch.setattr(guarded, "_PROGRAM", _FAULTY.replace("guarded.serve", "guarded.CPU_S = 0.2\nguarded.serve"))
    failure = guard.make(job(text)).failure
    assert failure is not None
    assert failure.message == message
    assert guard.make(job("fine")).text == "fine"


@pytest.mark.skipif(sys.platform == "win32", reason="the worker of Windows stays until its parent ends")
def test_an_idle_worker_ends_and_is_started_again(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next job does not notice."""
    monkeypatch.setattr(
        guarded, "_PROGRAM", "from qwenbuild.specs import guarded; guarded._IDLE_S = 0.01; guarded.serve()"
    )
    for number in range(3):
        assert guard.make(job("{{ n }}", n=number)).text == str(number)
        assert guard._worker is not None
        assert guard._worker.wait(timeout=30) == 0


def test_a_worker_knows_no_secrets(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets from the environment only what Python needs."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-secret")
    monkeypatch.setattr(guarded, "_PROGRAM", _FAULTY)
    names = set(guard.make(job("{{ 1 | names }}")).text.split())
    assert "PATH" in names or os.name == "nt"
    assert names <= {*guarded._PASSED, "LC_CTYPE"}


def test_the_worker_ends_with_its_guard() -> None:
    """Nothing is left behind."""
    guard = Guard()
    assert guard.make(job("x")).text == "x"
    worker, gone = guard._worker, weakref.ref(guard)
    assert worker is not None
    del guard
    gc.collect()
    assert gone() is None
    assert worker.poll() is not None
