"""The provider's findings for the doctor: key, service and clock."""

from __future__ import annotations

import sys

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.finding import Level
from tests.support.clinic import KEY, Clinic, wrong

pytest_plugins = ("tests.support.clinic", "tests.support.emulated")

NOWHERE = "http://127.0.0.1:9/api/v1"  # the port of discard, where nothing listens


@pytest.mark.parametrize(("provider", "level"), [("dashscope", "fail"), ("draft", "")])
def test_no_key(clinic: Clinic, provider: str, level: str) -> None:
    """A missing key is a failure if the project renders at the service, else it is fine."""
    clinic.write({"qwenbuild.toml": f'provider = "{provider}"\n'})
    found = clinic.findings()
    assert wrong(found) == ({"key": level} if level else {})
    assert "service" not in found


def test_a_key_of_another_kind(clinic: Clinic) -> None:
    """A malformed key fails with the reason. An AccessKey id gets a warning and is not shown."""
    spaced = clinic.findings(DASHSCOPE_API_KEY=f" {KEY}")["key"]
    assert (spaced.level, spaced.claim) == (
        Level.FAIL,
        "the API key in DASHSCOPE_API_KEY has spaces or line ends around it",
    )
    found = clinic.findings(DASHSCOPE_API_KEY="LTAI5tExample", DASHSCOPE_BASE_URL=NOWHERE)
    assert found["key"].level is Level.WARN
    assert "LTAI" not in repr(found)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_key_file_that_others_may_read(clinic: Clinic, emulator: Running) -> None:
    """Only the owner of a key file should be able to read it."""
    path = clinic.root.parent / "key"
    path.write_text(KEY)
    environ = {**emulator.environment(), "DASHSCOPE_API_KEY": "", "DASHSCOPE_API_KEY_FILE_PATH": str(path)}
    path.chmod(0o644)
    assert clinic.findings(**environ)["key"].hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert wrong(clinic.findings(**environ)) == {}


def test_a_key_of_another_region(clinic: Clinic, emulator: Running) -> None:
    """The service's refusal is reported with the region that was asked."""
    refused = clinic.findings(**emulator.environment("sk-beijing-5f1d"))["service"]
    assert (refused.level, refused.claim) == (Level.FAIL, "the service refused the API key")
    assert any(fact.startswith("region: singapore") for fact in refused.facts)
    assert "each region has its own keys" in (refused.hint or "")


def test_without_a_network(clinic: Clinic) -> None:
    """An unreachable service is only a warning, because images in the store can still be built."""
    found = clinic.findings(DASHSCOPE_API_KEY=KEY, DASHSCOPE_BASE_URL=NOWHERE)
    assert wrong(found) == {"service": "warn"}
    assert found["service"].claim == "can't reach 127.0.0.1:9"


@pytest.mark.parametrize(("ahead_s", "way"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_wrong_clock(clinic: Clinic, emulator: Running, ahead_s: int, way: str) -> None:
    """This machine's clock is compared with the service's clock."""
    emulator.advance(ahead_s)
    clock = clinic.findings(**emulator.environment(KEY))["clock"]
    assert clock.level is Level.WARN
    assert clock.claim.endswith(f"{way} the service's")
