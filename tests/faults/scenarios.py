"""The scenarios: what is there before the build that gets the fault, and which build it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

SPEC: Final = """\
[image.poster]
prompt = "a fair, {{ hour }}"
size = "1:1"
matrix = { hour = ["noon", "night"], seed = 7 }

[image.cover]
prompt = "a fair, noon"
size = "1:1"
seed = 7
"""
"""Two requests. One of them has two output paths."""

CELLS: Final = 3

USER_CONFIG: Final = "[providers.dashscope]\nsole_user = true\n"
"""Nobody else uses the account, so a task whose create lost its answer is found among the account's tasks."""

_QUICK = """\
[providers.dashscope]
interface = "{interface}"
submits = "1000/second"
poll_s = 0.01
retry_wait_s = 0.002
timeout_s = 20
"""


class Before(Enum):
    """What is there before the build that gets the fault."""

    NOTHING = "nothing was built"
    BUILT = "everything is built"
    STORED = "the store has every image, out/ and the state are gone"
    SHARED = "the remote cache has the image of one request, this machine has nothing"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of build. `interface` is "sync" or "async", empty for free drafts.

    `arguments` are the options of the build that gets the fault. With `twin`, a second project of the same requests is
    built at the same time.
    """

    name: str
    interface: str
    before: Before = Before.NOTHING
    arguments: tuple[str, ...] = ()
    twin: bool = False

    @property
    def is_free(self) -> bool:
        return not self.interface

    @property
    def uses_remote(self) -> bool:
        return self.before is Before.SHARED

    def config(self, remote: str) -> str:
        """Return `qwenbuild.toml`. `remote` is the address of the remote cache."""
        head = 'provider = "draft"\n' if self.is_free else _QUICK.format(interface=self.interface)
        return head + (f'[remote]\nurl = "{remote}"\n' if self.uses_remote else "")


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("draft", ""),
        Scenario("sync", "sync"),
        Scenario("async", "async"),
        Scenario("restore", "sync", Before.STORED),
        Scenario("force", "sync", Before.BUILT, ("--force",)),
        Scenario("force-async", "async", Before.BUILT, ("--force",)),
        Scenario("remote", "sync", Before.SHARED),
        Scenario("two", "sync", twin=True),
        Scenario("two-async", "async", twin=True),
    )
}
