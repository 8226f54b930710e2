"""Every fault of the emulator, in every call, on both interfaces: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.emulator.server import Running
from qwenbuild.errors import AnswerLost, ProviderError
from qwenbuild.provider import Rendered, Settings
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.request import Request, Submission
from tests.support.scripted import Journal, request_of

pytest_plugins = ("tests.support.emulated",)

BOTH = pytest.mark.parametrize("interface", ["sync", "async"])


def provider(emulator: Running, interface: str, key: str = "sk-emulator", **table: object) -> DashScopeProvider:
    """Return a provider with the shortest possible waits."""
    quick = {
        "interface": interface, "submits": "1000/second", "poll_s": 0.02, "retry_wait_s": 0.002, "timeout_s": 0.3
    }  # fmt: skip
    return DashScopeProvider(Settings({**quick, **table}, builtin(), emulator.environment(key)))


@BOTH
def test_an_emulators_image_is_told_from_the_services(emulator: Running, interface: str) -> None:
    """By the marks of the answers, the journal and the result name the emulator; a later build finds it, too."""
    mine, journal, request = provider(emulator, interface, timeout_s=60.0), Journal(), request_of()
    address = emulator.base_url.removesuffix("/api/v1")

    async def main() -> tuple[Rendered, Rendered]:
        async with mine.session():
            return await mine.render(request, journal), await mine.collect(journal.submission(request), Journal())

    assert [rendered.emulated_by for rendered in asyncio.run(main())] == [address] * 2
    assert (journal.emulated_by, mine.emulator_address) == (address, address)


@dataclass
class Builds:
    """Several builds of one request, as the builder makes them for a sole user. `outcome` is that of the last build."""

    request: Request
    journal: Journal = field(default_factory=Journal)
    outcome: Rendered | ProviderError | None = None

    def submission(self) -> Submission:
        return self.journal.submission(self.request, intended_at_s=time.time())

    async def build(self, mine: DashScopeProvider, others: Sequence[Builds] = ()) -> None:
        """Collect, reconcile or render, depending on the journal. An UNKNOWN request is not sent again."""
        if isinstance(self.outcome, Rendered):
            return
        last = self.journal.kinds[-1:]
        try:
            if last == ["intend"]:
                submission = self.submission()
                known = [it.submission() for it in others if it.journal.log]
                found = await mine.search([submission], lambda: [submission, *known], patience_s=9.0)
                if not (found and (task := found[submission.id].certain)):
                    return
                await self.journal.accepted(task.handle)
                last = ["accepted"]
            if last == ["accepted"]:
                self.outcome = await mine.collect(self.journal.submission(self.request), self.journal)
            else:
                self.outcome = await mine.render(self.request, self.journal)
        except ProviderError as error:
            self.outcome = error
            if isinstance(error, AnswerLost) and self.journal.handle:
                self.journal.log.append(("intend", self.journal.log[0][1]))  # the handle is useless now


CALLS = {
    "sync": ["sync", "download"],
    "async": ["create", "poll", "download"],
}
KINDS = [
    "throttle", "throttle=0.1", "500", "503", "error=ModelUnavailable", "error=InternalError.Timeout",
    "error=DataInspectionFailed", "moderation", "arrearage", "business-error", "html", "redirect", "slow=0.1",
    "slow=0.5", "hang-before", "drop-before", "hang-after", "drop-after", "close-after", "html-after", "timeout",
    "garbage", "missing", "task-failed", "item-failed", "truncated", "cut", "corrupt", "wrong-size", "expired",
]  # fmt: skip


def _applies(kind: str, operation: str) -> bool:
    from qwenbuild.emulator.faults import KINDS as KNOWN

    return operation in KNOWN[kind.partition("=")[0]].operations


@pytest.mark.parametrize(
    ("interface", "operation", "kind"),
    [
        (interface, operation, kind)
        for interface, operations in CALLS.items()
        for operation in operations
        for kind in KINDS
        if _applies(kind, operation)
    ],
)
def test_one_fault_costs_nothing_and_loses_nothing(
    emulator: Running, interface: str, operation: str, kind: str
) -> None:
    """After a build with the fault and two without, the image is billed once, or it is UNKNOWN.

    e2e/test_service_faults.py has faults that last.
    """
    emulator.inject(f"{kind}:{operation}:1")
    builds = Builds(request_of())

    async def main() -> None:
        for number in range(3):
            if isinstance(builds.outcome, Rendered):
                return
            if number:
                emulator.inject()
            timeout_s = 60.0 if number else 0.3  # only the fault is to be slow, not the machine
            async with (mine := provider(emulator, interface, timeout_s=timeout_s)).session():
                await builds.build(mine)

    asyncio.run(main())
    billed = emulator.bill()["count"]
    if isinstance(builds.outcome, Rendered):
        assert billed == 1
    else:
        assert isinstance(builds.outcome, AnswerLost)
        assert billed <= 1
        assert interface == "sync" or billed == 0  # a task that exists is found


@BOTH
def test_a_key_of_the_other_region_is_explained(emulator: Running, interface: str) -> None:
    """The service refuses the key; the error names region, address and origin."""

    async def main() -> ProviderError:
        builds = Builds(request_of())
        async with (mine := provider(emulator, interface, "sk-beijing-1234")).session():
            await builds.build(mine)
        assert isinstance(builds.outcome, ProviderError)
        return builds.outcome

    error = asyncio.run(main())
    assert error.stops_run
    assert any("region: singapore, at 127.0.0.1" in fact for fact in error.facts)
    assert any("key: from DASHSCOPE_API_KEY" in fact for fact in error.facts)


@BOTH
def test_many_images_with_mixed_faults_are_billed_once(emulator: Running, interface: str) -> None:
    """A fifth of all calls fail. After three builds each image is there, or UNKNOWN."""
    faults = [
        "throttle:4%", "500:3%", "503:3%", "business-error:2%", "close-after:poll,list:2%", "garbage:poll,list:2%",
        "truncated:3%", "corrupt:3%", "wrong-size:3%", "cut:3%", "expired:1%", "task-failed:3%",
        "close-after:create:2%", "close-after:sync:1%",
    ]  # fmt: skip
    count = 200
    requests = [request_of(f"image {number:03}") for number in range(count)]

    async def main() -> list[Builds]:
        all_builds = [Builds(request) for request in requests]
        slots = asyncio.Semaphore(50)
        for number in range(3):
            if number == 2:
                emulator.inject()
            mine = provider(emulator, interface, timeout_s=10)
            async with mine.session():

                async def one(builds: Builds, mine: DashScopeProvider = mine) -> None:
                    async with slots:
                        await builds.build(mine, all_builds)

                await asyncio.gather(*(one(builds) for builds in all_builds))
        return all_builds

    emulator.inject(*faults, seed=3)
    ended = asyncio.run(main())
    bill = emulator.bill()["count"]
    unknown = [builds for builds in ended if not isinstance(builds.outcome, Rendered)]
    assert {type(builds.outcome) for builds in unknown} <= {AnswerLost}
    assert count - len(unknown) <= bill <= count
    assert len(unknown) < count * (0.05 if interface == "sync" else 0.01)
