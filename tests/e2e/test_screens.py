"""What people see on a screen of tmux: a plan, a build and its summary fit, and no line is wrapped."""

from __future__ import annotations

import re

import pytest

from tests.e2e.harness import Sandbox
from tests.e2e.terminals import on_a_screen

SIZES = [(80, 24), (120, 40)]


def images(count: int, prompt: str, cells: int = 1) -> dict[str, str]:
    """Return a spec of many images; `%d` in the prompt is the number of the image."""
    text = "".join(
        f"[image.poster-of-the-summer-campaign-{at:03}]\nprompt = '{prompt % at}'\n"
        f"matrix = {{ mood = ['a sunset over the green hills 长城'], seed = {{ start = 1, count = {cells} }} }}\n"
        for at in range(count)
    )
    return {"specs/many.toml": text}


@pytest.mark.parametrize("size", SIZES)
def test_a_plan_of_many_images_is_one_screen(sandbox: Sandbox, size: tuple[int, int]) -> None:
    """It begins with the images and ends with total, price and time. Warnings stand above it, on the same screen."""
    sandbox.write(images(40, "%d {{ mood }}", 30))
    with on_a_screen(sandbox, size, "plan", "many", "--provider", "dashscope") as screen:
        lines = screen.until()
        assert not screen.is_wrapped()
    assert lines[0].startswith("warning: no API key for the provider dashscope: ")
    assert any(re.fullmatch(r"image +render +cost", line) for line in lines[1:6])
    [rest] = [line for line in lines if line.startswith("… ")]
    assert re.fullmatch(r"… \d\d more images +\d+ +[\d.]+ CNY", rest)
    assert lines[-5:-3] == ["         …  `qwenbuild plan --all` lists each cell", "1,200 to render"]
    assert re.fullmatch(r"      cost  [\d.]+ CNY  \(qwen-image-plus: 1,200 at [\d.]+\)", lines[-3])
    assert re.fullmatch(r"      time  at least .+ limits", lines[-2])
    assert lines[-1] == "(ended)"


@pytest.mark.parametrize("size", SIZES)
def test_a_plan_of_many_reasons_is_one_screen(sandbox: Sandbox, size: tuple[int, int]) -> None:
    """The largest are shown, the others are counted."""
    sandbox.write(images(300, "word%d {{ mood }}"))
    assert sandbox.here("build", "many").code == 0
    sandbox.write(images(300, "other%d {{ mood }}"))
    with on_a_screen(sandbox, size, "plan", "many") as screen:
        lines = screen.until()
        assert not screen.is_wrapped()
    assert lines[0].startswith("image ")
    assert lines[-2:] == ["300 to render", "(ended)"]
    more = r"         …  \d+ more reasons, \d+ cells; `qwenbuild plan --all` lists each cell"
    assert re.fullmatch(more, lines[-3])
    assert "    render  prompt changed: -word0 +other0, 1 cell" in lines


@pytest.mark.parametrize("size", SIZES)
def test_a_small_plan_names_each_cell(sandbox: Sandbox, size: tuple[int, int]) -> None:
    """Long names lose their middle; reasons stand in one column."""
    sandbox.write(images(5, "%d {{ mood }}", 2))
    with on_a_screen(sandbox, size, "plan", "many") as screen:
        lines = screen.until()
        assert not screen.is_wrapped()
    rows = [re.fullmatch(r"    render  (\S.*…?.*seed=[12]\])  never rendered", line) for line in lines[:10]]
    assert all(rows)
    assert lines[10:] == ["10 to render", "(ended)"]


@pytest.mark.parametrize("size", SIZES)
def test_a_build_is_one_block_and_a_summary(sandbox: Sandbox, size: tuple[int, int]) -> None:
    """While it runs, a bar and what is in flight; in the end, counts, where the files are, and what to do next."""
    sandbox.write(images(8, "%d {{ mood }}"))
    sandbox.write({"qwenbuild.toml": 'provider = "null"\n[providers.null]\nlatency_s = 0.3\n'})
    with on_a_screen(sandbox, size, "build", "many", "-j", "2") as screen:
        lines = screen.until("in flight")
        assert not screen.is_wrapped()
        assert re.match(r"  building [━╸╺ ]+ \d/8", lines[0])
        assert re.match(r" in flight  many/poster-of-the-summer.*\]( and 1 more)?$", lines[1])
        lines = screen.until()
    assert re.fullmatch(r"8 rendered in [\d.]+ s", lines[0])
    assert lines[1:] == [
        "     files  out/",
        "      next  `qwenbuild report --open` shows the images on a page",
        "(ended)",
    ]


@pytest.mark.parametrize("size", SIZES)
def test_failures_are_told_once_for_each_reason(sandbox: Sandbox, size: tuple[int, int]) -> None:
    """When the build has ended; what else failed for the reason is counted, with some names."""
    matrix = "matrix = { seed = { start = 1, count = 12 } }"
    cards = f"[image.card]\nprompt = '{{{{ seed }}}}'\noutput = 'cards/{{{{ seed }}}}.png'\n{matrix}\n"
    sandbox.write({"specs/many.toml": cards, "out/cards": "a file where a folder should be"})
    with on_a_screen(sandbox, size, "build", "many") as screen:
        lines = screen.until()
        assert not screen.is_wrapped()
    heads = [line for line in lines if line[:10].strip() == "failed"]
    assert re.fullmatch(r"    failed many/card\[seed=\d+\]", heads[0])
    assert re.match(r"    failed 11 more, for the same reason as many/card\[seed=\d+\]: many/card", heads[1])
    assert (len(heads), lines[-2:]) == (2, [
        "      next  `qwenbuild build` tries again what failed, and only that", "(ended)"
    ])  # fmt: skip
