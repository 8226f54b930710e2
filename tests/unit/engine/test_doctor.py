"""What is found in an environment: one that is as it should be, and each thing that can be wrong with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.engine import doctor
from qwenbuild.engine.scaffold import files
from qwenbuild.errors import UsageError
from qwenbuild.finding import Finding, Level
from qwenbuild.storage import lock, lock_format
from qwenbuild.storage.store import Store
from tests.e2e.harness import Sandbox
from tests.support.buckets import BUCKET, S3
from tests.support.workspace import Workspace

pytest_plugins = ("tests.support.buckets", "tests.support.emulated")

KEY = "sk-canary-0d9c1f7be2a84c36"
NOWHERE = "http://127.0.0.1:9/api/v1"  # the port of discard, where nothing listens


class Clinic(Workspace):
    """A project, and what is found in an environment that names its store and the service."""

    def findings(self, **environ: str) -> dict[str, Finding]:
        """Return the last finding about each subject."""
        home = self.root.parent
        given = {"HOME": str(home), "QWENBUILD_CACHE_DIR": str(home / "store"), **environ}
        found = list(doctor.examine(self.root, given))
        assert KEY not in repr(found)
        return {finding.subject: finding for finding in found}


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    """A new project, as `init` writes it, that renders at the service."""
    made = Clinic(tmp_path / "project")
    made.write({**files(), "qwenbuild.toml": 'provider = "dashscope"\n'})
    return made


def wrong(found: dict[str, Finding]) -> dict[str, str]:
    """Return the levels of what is not all right."""
    return {name: finding.level.value for name, finding in found.items() if finding.level is not Level.OK}


def test_a_sound_environment(clinic: Clinic, emulator: Running) -> None:
    """Nothing is wrong with a new project, a key that the service takes, and a clock that is right."""
    found = clinic.findings(**emulator.environment(KEY))
    assert wrong(found) == {}
    assert list(found) == [
        "qwenbuild", "packages", "project", "store", "disk", "provider", "specs", "state", "lock", "schema",
        "key", "service", "clock", "fonts",
    ]  # fmt: skip
    assert found["key"].claim == "from DASHSCOPE_API_KEY"
    assert found["service"].claim.endswith(" takes the key; region singapore")


def test_examining_changes_and_costs_nothing(clinic: Clinic, emulator: Running) -> None:
    """No file appears, and the service is asked for its tasks alone."""
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
    """What a plan would refuse is to be fixed."""
    clinic.write(files)
    found = clinic.findings()["specs"]
    assert (found.level, found.claim.startswith(claim)) == ("fail", True)


@pytest.mark.parametrize(("provider", "level"), [("dashscope", "fail"), ("draft", "")])
def test_no_key(clinic: Clinic, provider: str, level: str) -> None:
    """A key is missed where the project's provider needs one."""
    clinic.write({"qwenbuild.toml": f'provider = "{provider}"\n'})
    found = clinic.findings()
    assert wrong(found) == ({"key": level} if level else {})
    assert "service" not in found


def test_a_key_of_another_kind(clinic: Clinic) -> None:
    """What can be no key fails with the reason; an AccessKey's id is recognised, and never shown."""
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
    """A key's file is its owner's alone."""
    path = clinic.root.parent / "key"
    path.write_text(KEY)
    environ = {**emulator.environment(), "DASHSCOPE_API_KEY": "", "DASHSCOPE_API_KEY_FILE_PATH": str(path)}
    path.chmod(0o644)
    assert clinic.findings(**environ)["key"].hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert wrong(clinic.findings(**environ)) == {}


def test_a_key_of_another_region(clinic: Clinic, emulator: Running) -> None:
    """The service's refusal is told with the region that was asked."""
    refused = clinic.findings(**emulator.environment("sk-beijing-5f1d"))["service"]
    assert (refused.level, refused.claim) == (Level.FAIL, "the service refused the API key")
    assert any(fact.startswith("region: singapore") for fact in refused.facts)
    assert "each region has its own keys" in (refused.hint or "")


def test_without_a_network(clinic: Clinic) -> None:
    """A service that can't be reached is a warning: what is in the store can still be built."""
    found = clinic.findings(DASHSCOPE_API_KEY=KEY, DASHSCOPE_BASE_URL=NOWHERE)
    assert wrong(found) == {"service": "warn"}
    assert found["service"].claim == "can't reach 127.0.0.1:9"


@pytest.mark.parametrize(("ahead_s", "way"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_wrong_clock(clinic: Clinic, emulator: Running, ahead_s: int, way: str) -> None:
    """The clock is compared with the service's."""
    emulator.advance(ahead_s)
    clock = clinic.findings(**emulator.environment(KEY))["clock"]
    assert clock.level is Level.WARN
    assert clock.claim.endswith(f"{way} the service's")


def test_the_config_is_wrong(clinic: Clinic) -> None:
    """A mistake in the config is told with its place, and the rest is examined all the same."""
    clinic.write({"qwenbuild.toml": 'provider = "draft"\nspec = "x"\n'})
    found = clinic.findings()
    assert found["project"].level is Level.FAIL
    assert found["project"].facts[0] == "at qwenbuild.toml:2:1"
    assert "store" in found


def test_an_unknown_provider(clinic: Clinic) -> None:
    """A provider that is not installed is told with the nearest name."""
    clinic.write({"qwenbuild.toml": 'provider = "drafts"\n'})
    assert clinic.findings()["provider"].hint == 'did you mean "draft"?'


def test_without_a_project(tmp_path: Path) -> None:
    """Outside of a project the machine is examined; a folder that is not there is a mistake."""
    found = Clinic(tmp_path).findings()
    assert wrong(found) == {"key": "warn"}
    assert "state" not in found
    with pytest.raises(UsageError, match="no such folder"):
        Clinic(tmp_path / "none").findings()


def test_the_store(clinic: Clinic) -> None:
    """What it holds is counted; a file in its place fails with what to do."""
    folder = clinic.root.parent / "store"
    assert clinic.findings()["store"].claim == f"{folder}: not there yet; the first build creates it"
    Store(folder).put("a" * 64, b"image", b"{}")
    assert clinic.findings()["store"].claim == f"{folder}: 1 images, 0 MB"
    shutil.rmtree(folder)
    folder.write_text("in the way")
    found = clinic.findings()["store"]
    assert (found.level, found.hint) == (Level.FAIL, "move it away, or set QWENBUILD_CACHE_DIR")


def test_what_stands_in_the_way_of_a_build(clinic: Clinic) -> None:
    """A file where a folder should be, and a state that is none, must be fixed."""
    clinic.write({".qwenbuild": "", "out2": "", "qwenbuild.toml": 'provider = "draft"\nout = "out2"\n'})
    found = clinic.findings()
    assert wrong(found)["project"] == "fail"
    (clinic.root / ".qwenbuild").unlink()
    clinic.write({".qwenbuild/state.sqlite3": "torn"})
    assert wrong(clinic.findings())["state"] == "fail"


def test_the_lock(clinic: Clinic) -> None:
    """A lock that can't be read must be fixed; one that git could not merge, or ignores, is worth a look."""
    pin = lock_format.Pin("poster.png", "poster", "a" * 64, "b" * 64, "qwen-image", 1)
    text = lock_format.render([pin])
    clinic.write({lock.NAME: text})
    assert clinic.findings()["lock"].claim == "1 outputs are pinned"
    clinic.write({lock.NAME: text.replace("version = 1", "version = 99")})
    assert clinic.findings()["lock"].level is Level.FAIL
    head, record = text.split("\n\n", 1)
    clinic.write({lock.NAME: f"{head}\n\n<<<<<<< HEAD\n{record}=======\n{record}>>>>>>> other\n"})
    assert clinic.findings()["lock"].hint == "`qwenbuild lock` resolves it"


def test_the_remote(clinic: Clinic, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remote cache is asked for something; one that is not there is a warning, as for a build."""
    environ = s3.environment()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = '[remote]\nurl = "s3://{}"\nsecret_env = "QWENBUILD_REMOTE_SECRET"\n'
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n' + config.format(BUCKET)})
    remote = clinic.findings(**environ)["remote"]
    told = "entries of the remote cache can't be verified: QWENBUILD_REMOTE_SECRET is empty"
    assert (remote.level, remote.claim) == (Level.WARN, told)
    remote = clinic.findings(**environ, QWENBUILD_REMOTE_SECRET="canary")["remote"]
    assert (remote.level, remote.claim) == (Level.OK, f"s3://{BUCKET} answers; a build reads and writes")
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n' + config.format("no-such-bucket")})
    remote = clinic.findings(**environ, QWENBUILD_REMOTE_SECRET="canary")["remote"]
    assert (remote.level, "NoSuchBucket" in remote.claim) == (Level.WARN, True)
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n[remote]\nurl = "ftp://x"\n'})
    assert clinic.findings()["remote"].level is Level.FAIL


def test_schemas_of_editors(clinic: Clinic) -> None:
    """A schema that a spec names is to be there, and of this version; its layout does not matter."""
    path = clinic.root / "specs/spec.schema.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))), "utf-8")
    assert clinic.findings()["schema"].claim == "current"
    path.write_text("{}")
    assert (
        clinic.findings()["schema"].claim == "specs/spec.schema.json is of another version: editors check specs wrongly"
    )
    path.unlink()
    missing = clinic.findings()["schema"]
    assert (missing.level, missing.hint) == (Level.WARN, "qwenbuild schema > specs/spec.schema.json")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_repository(clinic: Clinic) -> None:
    """Git is to ignore what is derived; images are ignored or committed."""

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(clinic.root), *arguments], check=True, capture_output=True)

    git("init")
    clinic.write({".gitignore": "*.lock\n.qwenbuild/\n"})
    assert clinic.findings()["lock"].claim == "git ignores qwenbuild.lock"
    clinic.write({".gitignore": ".qwenbuild/\n"})
    assert clinic.findings()["git"].claim == ".qwenbuild/ is ignored, out/ is ignored"
    clinic.write({".gitignore": "", "out/.gitignore": "", "out/a.png": "x"})
    (clinic.root / "out/.gitignore").unlink()
    claims = [one.claim for one in doctor.examine(clinic.root, {"HOME": str(clinic.root)}) if one.subject == "git"]
    assert claims == [
        ".qwenbuild/ is not ignored by git, but belongs to this machine only",
        "out/ is neither ignored nor committed",
    ]
    clinic.write({".gitignore": ".qwenbuild/\n"})
    git("add", "out")
    assert clinic.findings()["git"].claim == ".qwenbuild/ is ignored, out/ is committed"


@pytest.mark.parametrize(
    ("name", "relation", "wanted", "wrong"),
    [
        ("pytest", None, None, False), ("pytest", ">=", "1.0", False), ("pytest", ">=", "999", True),
        ("pytest", "==", "1.0", True), ("no-such-package", ">=", "1", True),
    ],
)  # fmt: skip
def test_packages(name: str, relation: str | None, wanted: str | None, wrong: bool) -> None:
    """A package is missing, too old, or not the one that is pinned."""
    assert bool(doctor._unfit(name, relation, wanted)) == wrong


def test_versions() -> None:
    """Versions are compared by their numbers; zeros at the end and what follows the release don't count."""
    assert [doctor._release(text) for text in ("1.10.0", "1.10rc1", "2", "0.1.0")] == [[1, 10], [1, 10], [2], [0, 1]]


def test_the_command(clinic: Clinic, emulator: Running) -> None:
    """`doctor` exits 1 where something must be fixed; its lines and its JSON say the same, and show no key."""
    sandbox = Sandbox(clinic.root, clinic.root.parent / "store", emulator.environment(KEY))
    sound = sandbox.here("doctor")
    assert (sound.code, sound.err) == (0, "")
    lines = sound.out.splitlines()
    assert lines[-1] == "nothing to fix"
    assert [line[:6] for line in lines[:-1] if not line.startswith("     ")] == ["  ok  "] * 14
    sandbox.extra["DASHSCOPE_API_KEY"] = "sk-beijing-5f1d"
    ill = sandbox.here("doctor")
    assert ill.code == 1
    assert "FAIL  service    the service refused the API key\n" in ill.out
    assert ill.out.endswith("1 to fix\n")
    told = sandbox.here("doctor", "--json")
    assert told.code == 1
    service: dict[str, Any] = next(event for event in told.events if event.get("subject") == "service")
    assert list(service) == ["event", "subject", "level", "claim", "facts", "hint"]
    assert told.finished == {"event": "examined", "ok": 12, "warn": 0, "fail": 1}
    assert "sk-beijing" not in ill.out + told.out


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
    """Settings of a provider that the project does not render with are worth a look."""
    clinic.write({"qwenbuild.toml": 'provider = "draft"\n[providers.dashscope]\nregion = "mars"\n'})
    found = clinic.findings()
    assert wrong(found) == {"dashscope": "warn"}
    assert found["dashscope"].claim == 'unknown region "mars"'
