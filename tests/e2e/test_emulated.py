"""An emulator's image is never taken for the service's, in whatever order the two are used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qwenbuild.digest import canonical_json
from qwenbuild.emulation import emulated_key
from qwenbuild.emulator.server import Running, running
from qwenbuild.errors import LockError
from qwenbuild.files.provenance import read_provenance_file, with_provenance
from qwenbuild.plan.plan import Step, Verdict
from qwenbuild.providers.dashscope import client, download, rendering
from qwenbuild.providers.null import plain
from qwenbuild.specs.action import Action
from qwenbuild.storage import lock
from qwenbuild.storage.store import Store
from qwenbuild.trust import TRUST_ENV
from tests.support.caches import Cache
from tests.support.emulated import QUICK

from .studio import KEY, Studio, cards

pytest_plugins = ("tests.support.emulated",)

SHOWS = "its file shows an emulated image"
FORM = "0b7f4a36-2f4e-4c1e-9a44-3f6de3b7a1c2"  # of an emulator's ids


def studio(folder: Path, service: Running, **table: str) -> Studio:
    return Studio.make(folder, service, cards(2), **table)


def at_the_service(one: Studio) -> Studio:
    """Return the same project with the vendor's own base URL. It is only planned: nothing is sent."""
    return Studio(one.root, one.store, {"DASHSCOPE_API_KEY": KEY}, service=one.service)


def planned(one: Studio, **choices: object) -> list[Step]:
    return list(one.engine(**choices).plan().steps)


def verdicts(one: Studio) -> list[Verdict]:
    return [step.verdict for step in planned(one)]


def put(store: Path, action: Action, **facts: str) -> bytes:
    """Store an image under the key of an action's request, as the service's; return its bytes."""
    known = {"action_key": action.request_key, "request": action.request.as_dict(), **facts}
    image = with_provenance(plain(action.size, b"\1\2\3"), known)
    Store(store).put(action.request_key, image, canonical_json(known))
    return image


def as_a_gateway(patch: pytest.MonkeyPatch) -> None:
    """Let the emulator look like a gateway to the service, whose answers have no mark."""
    for module in (client, download):
        patch.setattr(module, "HEADER", "X-Unknown")


def test_an_emulators_image_is_rendered_at_the_service(emulator: Running, tmp_path: Path) -> None:
    """The plan says why, and what it costs. A lock with the image is no lock of the service's images."""
    one = studio(tmp_path, emulator)
    one.build_here()
    steps = planned(at_the_service(one))
    assert [(step.verdict, step.reason, bool(step.price)) for step in steps] == [(Verdict.RENDER, SHOWS, True)] * 2
    with pytest.raises(LockError) as caught:
        at_the_service(one).engine().check_lock()
    assert caught.value.facts[0] == "cards/card[no=000]: the lock pins an emulated image"
    other = studio(tmp_path / "other", emulator)
    other.store = one.store
    assert [step.reason for step in planned(at_the_service(other))] == ["never rendered"] * 2


def test_the_same_emulator_makes_an_image_once(emulator: Running, tmp_path: Path) -> None:
    """Its images are up to date, restored and shared as others are, but only where the base URL is the same."""
    one, other = studio(tmp_path, emulator), studio(tmp_path / "other", emulator)
    other.store = one.store
    one.build_here()
    calls = emulator.requests()
    shutil.rmtree(one.root / "out")
    assert one.build_here()["restored"] == 2
    assert other.build_here()["restored"] == 2
    shutil.rmtree(one.root / ".qwenbuild")
    assert verdicts(one) == [Verdict.UP_TO_DATE] * 2
    assert emulator.requests() == calls
    with running(QUICK) as another:
        moved = Studio(one.root, one.store, another.environment(KEY), service=another)
        assert [step.reason for step in planned(moved)] == [SHOWS] * 2


def test_an_emulated_image_is_recorded_as_such(emulator: Running, tmp_path: Path) -> None:
    """Lock, state, `show`, `verify` and `doctor` say so. The store has nothing under the key of the request."""
    one = studio(tmp_path, emulator)
    one.build_here()
    action = one.actions[0]
    address = emulator.base_url.removesuffix("/api/v1")
    pin = lock.read(one.root / lock.NAME).pins[action.output]
    assert (pin.key, pin.emulated_by) == (emulated_key(action.key, address), address)
    with one.engine().state() as state:
        assert (state.request(pin.key) or {})["emulated_by"] == address
    assert Store(one.store).lookup(action.key) is None
    shown = one.here("show", f"out/{action.output}").out
    assert f"emulated by  {address}" in shown
    assert "emulated images among them: 2;" in one.here("verify").out
    assert ", an emulator, accepts the key" in one.here("doctor").out


def test_an_image_of_the_service_stays(emulator: Running, tmp_path: Path) -> None:
    """A build at an emulator takes the service's image from the store, and asks nobody for another one."""
    one = studio(tmp_path, emulator)
    real = [put(one.store, action, downloaded_from="x.aliyuncs.com") for action in one.actions]
    assert one.build_here()["restored"] == 2
    assert [one.outputs()[action.output] for action in one.actions] == real
    assert emulator.requests() == []
    assert "emulated_by" not in (one.root / lock.NAME).read_text("utf-8")
    shutil.rmtree(one.store)
    shutil.rmtree(one.root / "out")
    assert verdicts(one) == [Verdict.MISSING] * 2


def test_an_image_of_the_service_takes_the_place(emulator: Running, tmp_path: Path) -> None:
    """Once the service has made an image, its project has the image everywhere, at the emulator too."""
    one = studio(tmp_path, emulator)
    one.build_here()
    for action in one.actions:
        put(one.store, action, downloaded_from="x.aliyuncs.com")
    service = at_the_service(one)
    assert service.build_here()["restored"] == 2
    address = emulator.base_url.removesuffix("/api/v1")
    assert f"made by the service, not by the emulator at {address}" in service.here("explain", one.actions[0].name).out
    assert "emulated_by" not in (one.root / lock.NAME).read_text("utf-8")
    assert verdicts(one) == [Verdict.UP_TO_DATE] * 2


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_what_an_emulator_has_in_flight_is_nothing_to_the_service(
    emulator: Running, tmp_path: Path, interface: str
) -> None:
    """The service gets the requests; at the emulator, the next build collects the images."""
    one = studio(tmp_path, emulator, interface=f'"{interface}"')
    one.build_inside(detach=True)
    assert verdicts(at_the_service(one)) == [Verdict.RENDER] * 2
    assert at_the_service(one).engine().plan().strays == []
    assert verdicts(one) == [Verdict.REATTACH] * 2
    assert one.build_here()["reattached"] == 2
    one.audit()


def test_a_remote_cache_holds_no_emulated_image_as_the_services(emulator: Running, tmp_path: Path) -> None:
    """Another machine with the same emulator gets them; the service's keys are not there."""
    with Cache().running() as cache:
        one = Studio.make(tmp_path, emulator, cards(2), config=f'[remote]\nurl = "{cache.url}"\n')
        one.extra[TRUST_ENV] = "1"
        one.build_here()
        shutil.rmtree(one.root / ".qwenbuild")
        one.here("cache", "push")
        assert len(cache.names("ac")) == 2
        assert not set(cache.names("ac")) & {action.key for action in one.actions}
        for path in (one.store, one.root / "out"):
            shutil.rmtree(path)
        (one.root / lock.NAME).unlink()
        service = at_the_service(one)
        service.extra[TRUST_ENV] = "1"
        assert verdicts(service) == [Verdict.RENDER] * 2
        assert one.build_here()["restored"] == 2


def test_a_gateway_on_this_machine(emulator: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images are the service's, whatever its ids look like: they were paid for, and are not rendered again."""
    as_a_gateway(monkeypatch)
    one, other = studio(tmp_path, emulator), studio(tmp_path / "other", emulator)
    one.build_here()
    other.store = one.store
    assert verdicts(at_the_service(one)) == [Verdict.UP_TO_DATE] * 2
    assert verdicts(at_the_service(other)) == [Verdict.RESTORE] * 2
    assert "emulated_by" not in (one.root / lock.NAME).read_text("utf-8")


# --- what older versions left ---


@pytest.mark.parametrize(
    ("facts", "is_used"),
    [
        ({"downloaded_from": "127.0.0.1", "request_id": FORM}, False),
        ({"downloaded_from": "localhost", "task_id": FORM}, False),
        ({"downloaded_from": "127.0.0.1", "request_id": "d0250a3d-b07f-99e1-bdc8-6793f4929abc"}, True),
        ({"downloaded_from": "dashscope-result-sh.oss-cn-shanghai.aliyuncs.com", "request_id": FORM}, True),
    ],
    ids=["sync", "async", "gateway", "service"],
)
def test_an_old_store(emulator: Running, tmp_path: Path, facts: dict[str, str], is_used: bool) -> None:
    """An entry is a miss only if its image came from this machine and its ids are an emulator's. It is not deleted."""
    one = studio(tmp_path, emulator)
    action = one.actions[0]
    old = put(one.store, action, **facts)
    step = planned(at_the_service(one))[0]
    assert (step.verdict, step.reason) == ((Verdict.RESTORE, "rendered before") if is_used else
                                           (Verdict.RENDER, "never rendered"))  # fmt: skip
    new = put(one.store, action, downloaded_from="x.aliyuncs.com", request_id="new")
    entry = Store(one.store).lookup(action.key)
    assert entry
    assert Store(one.store).read(entry) == (old if is_used else new)
    assert old in [path.read_bytes() for path in (one.store / "cas").rglob("*") if path.is_file()]


def test_an_old_project(emulator: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State, lock and files of a version that ignored marks: the plan says why it renders, also in a clone."""
    one = studio(tmp_path, emulator)
    with monkeypatch.context() as older:
        as_a_gateway(older)
        older.setattr(rendering, "is_unmarked", lambda provenance: False)
        one.build_inside()
    path = one.root / "out" / one.actions[0].output
    assert (read_provenance_file(path) or {})["action_key"] == one.actions[0].key
    service = at_the_service(one)
    assert [(step.verdict, step.reason) for step in planned(service)] == [(Verdict.RENDER, SHOWS)] * 2
    shutil.rmtree(one.root / ".qwenbuild")
    assert [(step.verdict, step.reason) for step in planned(service)] == [(Verdict.RENDER, SHOWS)] * 2
    shutil.rmtree(one.root / "out")
    reason = "the lock pins an emulated image"
    assert [(step.verdict, step.reason) for step in planned(service)] == [(Verdict.RENDER, reason)] * 2
    assert one.build_here()["rendered"] == 2
    assert all("emulated_by" in (read_provenance_file(one.root / "out" / it.output) or {}) for it in one.actions)
