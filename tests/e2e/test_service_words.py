"""What the service says is shown while a build waits, and remembered after it has failed."""

from __future__ import annotations

import signal
from pathlib import Path

from qwenbuild.emulator.server import Running

from .studio import Studio, cards
from .terminals import on_a_terminal

pytest_plugins = ("tests.support.emulated",)

SAID = "Throttling.RateQuota: Requests rate limit exceeded, please try again later."


def test_throttling_is_told_in_a_pipe(emulator: Running, tmp_path: Path) -> None:
    """One line has what the service said and when the image is tried again, however many images wait."""
    studio = Studio.make(tmp_path, emulator, cards(4))
    emulator.inject("throttle=60:sync:99")
    with studio.started("build") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("   waiting  ")
        assert f"the service asks for a slower pace: service says: {SAID}" in line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate()
    assert "waiting" not in rest
    assert "4 skipped" in rest


def test_throttling_is_told_in_place_on_a_terminal(emulator: Running, tmp_path: Path) -> None:
    """The words stand below the bar, and are gone with it."""
    studio = Studio.make(tmp_path, emulator, cards(2))
    emulator.inject("throttle=60:sync:99")
    with on_a_terminal(studio, "build") as terminal:
        terminal.until(r"waiting  .*, tried again at \d\d:\d\d:\d\d[+-]\d\d:\d\d: the service asks for a slower pace")
        terminal.press("\x03")
        terminal.until("2 skipped in")
        assert terminal.ended() == 130


def test_a_watch_tells_of_delays_and_sends_nothing_again(emulator: Running, tmp_path: Path) -> None:
    """On its terminal. What moderation refused is counted as failed, also after a new start."""
    studio, arguments = Studio.make(tmp_path, emulator, cards(2)), ["watch", "--no-preview", "--auto", "--max-cost=5"]
    emulator.inject("throttle=4:sync:2", "moderation:sync:2")
    with on_a_terminal(studio, *arguments) as terminal:
        terminal.until(r"waiting  .*: the service asks for a slower pace")
        terminal.until("2 failed")
        terminal.press("q")
        terminal.ended()
    emulator.inject()
    calls = len(emulator.requests())
    with on_a_terminal(studio, *arguments) as terminal:
        terminal.until("2 failed")
        terminal.press("q")
        terminal.ended()
    assert len(emulator.requests()) == calls
    assert "2 failed" in studio.here("plan").out
    assert "service says: DataInspectionFailed" in studio.here("status").out


def test_a_refused_model_is_told_once(emulator: Running, tmp_path: Path) -> None:
    """The first image fails, the others are counted; the next build asks again."""
    studio = Studio.make(tmp_path, emulator, cards(5))
    emulator.inject("error=AccessDenied.Unpurchased:sync:99")
    for _ in range(2):
        ran = studio.here("build", "-j1")
        assert ran.err.count("the account has not activated this model") == 2
        assert "  not sent  4 more images of qwen-image-plus: the account has not activated this model" in ran.err
        assert "1 failed, 4 skipped" in ran.err
    emulator.inject()
    assert studio.here("build").code == 0
    assert "failed" not in studio.here("status").out
