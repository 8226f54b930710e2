"""The doctor: a sound environment has no complaint, and each defect has its finding."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.engine import doctor
from qwenbuild.errors import UsageError
from qwenbuild.finding import Level
from qwenbuild.specs import user_config
from qwenbuild.trust import TRUST_ENV
from tests.e2e.harness import Sandbox
from tests.support.buckets import BUCKET, S3
from tests.support.clinic import KEY, Clinic, wrong

pytest_plugins = ("tests.support.buckets", "tests.support.clinic", "tests.support.emulated")


def test_a_sound_environment(clinic: Clinic, emulator: Running) -> None:
    """Nothing is wrong with a new project, an accepted key and a correct clock."""
    found = clinic.findings(**emulator.environment(KEY))
    assert wrong(found) == {}
    assert list(found) == [
        "qwenbuild", "packages", "project", "store", "disk", "ledger", "provider", "specs", "state", "lock", "schema",
        "key", "service", "clock", "fonts",
    ]  # fmt: skip
    assert found["key"].claim == "from DASHSCOPE_API_KEY"
    assert found["service"].claim.endswith(" accepts the key; region singapore")


def test_examining_changes_and_costs_nothing(clinic: Clinic, emulator: Running) -> None:
    """No file appears, and the service is only asked for its list of tasks."""
    before = sorted(clinic.root.parent.rglob("*"))
    clinic.findings(**emulator.environment(KEY))
    assert sorted(clinic.root.parent.rglob("*")) == before
    assert [call["operation"] for call in emulator.requests()] == ["list"]
    assert emulator.bill()["records"] == []


@pytest.mark.parametrize(
    ("files", "claim"),
    [
        ({"specs/s.toml": '[image.a]\nprompt = "{{ nope }}"\n'}, 'undefined variable "nope"'),
        ({"specs/s.toml": "<?xml"}, "not valid TOML"),
        ({"qwenbuild.toml": 'specs = "none/*.toml"\n'}, "no specs: nothing matches"),
    ],
)
def test_a_project_that_can_not_be_built(clinic: Clinic, files: dict[str, str], claim: str) -> None:
    """A mistake that a plan would report must be fixed."""
    clinic.write(files)
    found = clinic.findings()["specs"]
    assert (found.level, found.claim.startswith(claim)) == ("fail", True)


def test_the_config_is_wrong(clinic: Clinic) -> None:
    """A mistake in the config is reported with its place, and the other checks still run."""
    clinic.write({"qwenbuild.toml": 'provider = "draft"\nspec = "x"\n'})
    found = clinic.findings()
    assert found["project"].level is Level.FAIL
    assert found["project"].facts[0] == "at qwenbuild.toml:2:1"
    assert "store" in found


def test_the_users_own_config(clinic: Clinic) -> None:
    """Its path is shown, and the providers whose accounts nobody else uses. A mistake in it must be fixed."""
    path = user_config.path()
    assert path and "config" not in clinic.findings()
    path.parent.mkdir(parents=True)
    path.write_text("[providers.dashscope]\nsole_user = true\n")
    found = clinic.findings()["config"]
    assert (found.claim, found.facts) == (
        str(path), ("only qwenbuild on this machine uses the accounts of: dashscope",),
    )  # fmt: skip
    path.write_text("[providers.dashscope]\nsole = true\n")
    found = clinic.findings()["config"]
    assert (found.level, found.claim) == (Level.FAIL, 'unknown key "sole" in [providers.dashscope]')


def test_an_unknown_provider(clinic: Clinic) -> None:
    """The finding about a provider that is not installed suggests the nearest name."""
    clinic.write({"qwenbuild.toml": 'provider = "drafts"\n'})
    assert clinic.findings()["provider"].hint == 'did you mean "draft"?'


def test_without_a_project(tmp_path: Path) -> None:
    """Outside of a project only the machine is examined. A missing folder is a usage error."""
    found = Clinic(tmp_path).findings()
    assert wrong(found) == {"key": "warn"}
    assert "state" not in found
    with pytest.raises(UsageError, match="no such folder"):
        Clinic(tmp_path / "none").findings()


def test_the_remote(clinic: Clinic, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remote cache is asked for an entry. An unreachable cache is a warning, as in a build."""
    environ = {**s3.environment(), TRUST_ENV: "1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = '[remote]\nurl = "s3://{}"\nsecret_env = "QWENBUILD_REMOTE_SECRET"\n'
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n' + config.format(BUCKET)})
    remote = clinic.findings(**environ)["remote"]
    claim = "entries of the remote cache can't be verified: QWENBUILD_REMOTE_SECRET is empty"
    assert (remote.level, remote.claim) == (Level.WARN, claim)
    remote = clinic.findings(**environ, QWENBUILD_REMOTE_SECRET="canary")["remote"]
    assert (remote.level, remote.claim) == (Level.OK, f"s3://{BUCKET} answers; a build reads and writes")
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n' + config.format("no-such-bucket")})
    remote = clinic.findings(**environ, QWENBUILD_REMOTE_SECRET="canary")["remote"]
    assert (remote.level, "NoSuchBucket" in remote.claim) == (Level.WARN, True)
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n[remote]\nurl = "ftp://x"\n'})
    assert clinic.findings(**environ)["remote"].level is Level.FAIL


@pytest.mark.parametrize(
    ("name", "relation", "wanted", "wrong"),
    [
        ("pytest", None, None, False), ("pytest", ">=", "1.0", False), ("pytest", ">=", "999", True),
        ("pytest", "==", "1.0", True), ("no-such-package", ">=", "1", True),
    ],
)  # fmt: skip
def test_packages(name: str, relation: str | None, wanted: str | None, wrong: bool) -> None:
    """A package can be missing, too old, or different from the pinned version."""
    assert bool(doctor._unfit(name, relation, wanted)) == wrong


def test_versions() -> None:
    """Versions are compared by their release numbers, without zeros at the end."""
    assert [doctor._release(text) for text in ("1.10.0", "1.10rc1", "2", "0.1.0")] == [[1, 10], [1, 10], [2], [0, 1]]


@pytest.mark.parametrize(
    ("source", "level", "claim"),
    [
        ("", "", ""),
        ("    async def diagnose(self, project_provider):\n        return [].nosuch\n", "fail", "AttributeError"),
    ],
)
def test_a_plugin(clinic: Clinic, monkeypatch: pytest.MonkeyPatch, source: str, level: str, claim: str) -> None:
    """A plugin without `diagnose` is accepted; a plugin whose `diagnose` breaks is a finding."""
    plugin = "from qwenbuild.providers.null import NullProvider\nclass Plain(NullProvider):\n    name = 'plain'\n"
    about = clinic.root.parent / "plugins" / "plain-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[qwenbuild.providers]\nplain = plain_plugin:Plain\n")
    (about.parent / "plain_plugin.py").write_text(plugin + source)
    monkeypatch.syspath_prepend(about.parent)
    clinic.write({"qwenbuild.toml": 'provider = "plain"\n'})
    found = clinic.findings()
    sys.modules.pop("plain_plugin", None)
    assert found["provider"].claim == "plain"
    assert wrong(found) == ({"plain": level} if level else {})
    assert not claim or found["plain"].claim.startswith(f'the provider "plain" broke: {claim}')


def test_another_provider_with_wrong_settings(clinic: Clinic) -> None:
    """Wrong settings of a provider that the project does not render with are a warning."""
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n[providers.dashscope]\nregion = "mars"\n'})
    found = clinic.findings()
    assert wrong(found) == {"dashscope": "warn"}
    assert found["dashscope"].claim == 'unknown region "mars"'


def test_the_command(clinic: Clinic, emulator: Running) -> None:
    """`doctor` exits with 1 if something must be fixed. Its text and its JSON agree and show no key."""
    sandbox = Sandbox(clinic.root, clinic.root.parent / "store", emulator.environment(KEY))
    sound = sandbox.here("doctor")
    assert (sound.code, sound.err) == (0, "")
    lines = sound.out.splitlines()
    assert lines[-1] == "nothing to fix"
    assert [line[:6] for line in lines[:-1] if not line.startswith("     ")] == ["  ok  "] * 15
    sandbox.extra["DASHSCOPE_API_KEY"] = "sk-beijing-5f1d"
    ill = sandbox.here("doctor")
    assert ill.code == 1
    assert "FAIL  service    the service refused the API key\n" in ill.out
    assert ill.out.endswith("1 to fix\n`qwenbuild explain-error api-key-refused` says more about it\n")
    as_json = sandbox.here("doctor", "--json")
    assert as_json.code == 1
    service: dict[str, Any] = next(event for event in as_json.events if event.get("subject") == "service")
    assert list(service) == ["event", "subject", "level", "claim", "facts", "hint", "name"]
    assert as_json.finished == {"event": "examined", "ok": 13, "warn": 0, "fail": 1}
    assert "sk-beijing" not in ill.out + as_json.out
