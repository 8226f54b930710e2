"""Hundreds of images at once, from a service that fails often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.emulator.server import Running, running
from tests.support.emulated import QUICK

from .studio import Studio, be_sole_user, cards, unresolved

# A declared model with small images, so that hundreds are quick.
MODEL = {"interfaces": ["sync", "async"], "sizes": ["48*64"], "price_cny": {"singapore": "0.30"}}
CONFIG = """
[models.small]
interfaces = ["sync", "async"]
sizes = ["48*64"]
price_cny = { singapore = "0.30" }
"""

# A fifth of all calls fail, with each kind of fault that another attempt mends.
FAULTS = {
    "sync": (
        "throttle=0.02:sync:3%", "500:sync:2%", "503:sync:2%", "drop-before:sync:1%", "business-error:sync:3%",
        "drop-after:sync:1%", "close-after:sync:1%", "html-after:sync:1%", "timeout:sync:1%", "moderation:sync:2%",
        "slow=0.05:sync:5%",
        "truncated:download:6%", "corrupt:download:5%", "cut:download:4%", "500:download:5%",
    ),
    "async": (
        "throttle=0.02:create:3%", "500:create:2%", "drop-before:create:2%", "drop-after:create:3%",
        "garbage:create:3%", "task-failed:create:4%", "moderation:create:3%",
        "throttle=0.02:poll:7%", "503:poll:5%", "missing:poll:4%", "drop-after:poll:4%",
        "truncated:download:6%", "corrupt:download:6%", "expired:download:3%",
        "html:download:5%",
    ),
}  # fmt: skip


@pytest.fixture
def emulator() -> Iterator[Running]:
    """A quick emulator with the small model."""
    with running(replace(QUICK, catalogue=builtin().extended({"small": MODEL}))) as handle:
        yield handle


@pytest.mark.slow
@pytest.mark.parametrize(("interface", "images"), [("sync", 500), ("async", 200)])
def test_50_requests_at_once_with_20_percent_faults(
    emulator: Running, tmp_path: Path, interface: str, images: int
) -> None:
    """All images of a sole user are there in the end. Each was billed once, or twice if `--resubmit` sent it again."""
    be_sole_user()
    studio = Studio.make(
        tmp_path, emulator, cards(images, model='"small"'), config=CONFIG,
        interface=f'"{interface}"', max_concurrency="50",
    )  # fmt: skip
    emulator.inject(*FAULTS[interface], seed=5)
    first = built = studio.build_inside()
    assert first.finished.rendered > images * 0.8
    assert min(emulator.fired().values()) > 0

    sent_again = 0
    for attempt in range(12):
        if built.finished.complete:
            break
        unknown = set(unresolved(built))
        again = attempt % 2 == 1
        if again:
            sent_again += sum(
                studio.billed[action.request.prompt, action.request.seed]
                for action in studio.actions
                if action.name in unknown
            )
        built = studio.build_inside(resubmit=again, retry_failed=True)
    assert built.finished.complete
    assert emulator.bill()["count"] == images + sent_again
    assert max(studio.billed.values()) <= 2
    studio.check_outputs()
    assert studio.submissions == []
