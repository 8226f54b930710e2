"""Tests of the draft provider: what it says about itself, and when it starts processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import UsageError
from qwenbuild.problems import Problem
from qwenbuild.provider import Provider, Settings
from qwenbuild.providers.draft.artwork import draft as made_here
from qwenbuild.providers.draft.provider import DraftProvider
from qwenbuild.providers.registry import create
from qwenbuild.request import Request, Size
from tests.support.drafts import UnusedJournal, request


def draft(wanted: Request) -> bytes:
    return made_here(wanted).png


def provider(**table: object) -> Provider:
    return create("draft", Settings(table, builtin(), {}, jobs=3))


def rendered(made: Provider, requests: list[Request]) -> tuple[list[bytes], int]:
    """Render all requests in one session. Return the images, and the number of processes that were started."""

    async def session() -> tuple[list[bytes], int]:
        assert isinstance(made, DraftProvider)
        async with made.session():
            results = await asyncio.gather(*(made.render(each, UnusedJournal()) for each in requests))
            assert [dict(result.facts) for result in results] == [{}] * len(requests)
            return [result.png for result in results], len(made._pool.started)

    return asyncio.run(session())


@pytest.mark.parametrize(("drafts", "processes"), [(32, False), (45, True)])
def test_many_drafts_are_drawn_in_processes(drafts: int, processes: bool) -> None:
    """After 32 drafts a session starts processes; the bytes are the same."""
    requests = [request(size=Size(200, 200), seed=seed) for seed in range(drafts)]
    contents, started = rendered(provider(), requests)
    assert (contents, started > 0) == ([draft(each) for each in requests], processes)


def test_a_provider_can_draw_only_in_processes() -> None:
    """With `only_processes` even the first draft is drawn in a process."""
    made = DraftProvider(Settings({}, builtin(), {}, jobs=1), only_processes=True)
    assert rendered(made, [request(size=Size(200, 200))]) == ([draft(request(size=Size(200, 200)))], 1)


@pytest.mark.parametrize("only_processes", [False, True])
def test_each_script_without_a_font_is_warned_of_once(only_processes: bool) -> None:
    """The first draft with Tibetan letters warns of them, and so does the first one with Cherokee letters."""
    made = DraftProvider(Settings({}, builtin(), {}, jobs=1), only_processes=only_processes)

    async def session() -> list[list[str]]:
        async with made.session():
            prompts = ("“Tea”", "“བོད”", "“བོད Ꮳ”", "“བོད”")
            results = [await made.render(request(prompt, Size(300, 300)), UnusedJournal()) for prompt in prompts]
            return [[str(problem) for problem in result.warnings] for result in results]

    def warning(script: str) -> str:
        facts, hint = ("no font of qwenbuild has this script",), "real images are not affected"
        return str(Problem(f"drafts show bars instead of {script} letters", facts=facts, hint=hint))

    assert asyncio.run(session()) == [[], [warning("Tibetan")], [warning("Cherokee")], []]


def test_what_the_provider_says_about_itself() -> None:
    """It is free, accepts every model, has no limit, and labels its images."""
    made = provider()
    assert isinstance(made, DraftProvider)
    assert (made.name, made.labelled, made.concurrency) == ("draft", True, 3)
    assert (made.check("any"), made.price("any"), made.shortest_s({"any": 9})) == (None, None, 0.0)


def test_its_keys_are_not_the_services() -> None:
    """The family is part of the key, so a draft is never taken for a paid image."""
    families = ("dashscope", "null-1", DraftProvider.family)
    assert len({request()._replace(family=family).key for family in families}) == 3
    assert DraftProvider.family.startswith("draft-")


def test_unknown_settings_are_refused() -> None:
    """An unknown key is a UsageError that names the key."""
    with pytest.raises(UsageError, match=r'unknown key "colour" in \[providers.draft\]'):
        provider(colour="red")


def test_planning_loads_no_fonts() -> None:
    """A plan needs the provider, but imports neither Pillow nor the fonts."""
    program = (
        "import sys, qwenbuild.providers.draft.provider; "
        "print(sorted({'PIL', 'justmytype_intl_cjk'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "[]\n"
