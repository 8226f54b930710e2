"""Distributing: which cluster a project uses, and what its workers get to know."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.engine import distributing
from qwenbuild.engine.trusting import wishes
from qwenbuild.errors import ExecutorError, ProjectError, Untrusted, UsageError
from qwenbuild.executor import LOCAL, Place, Tls
from qwenbuild.routes import Choice
from qwenbuild.specs import approvals
from qwenbuild.trust import TRUST_ENV
from tests.support.caches import Cache
from tests.support.executors import InThreads
from tests.support.executors import threads as threads
from tests.support.workspace import Workspace

ADDRESS = "tls://scheduler.example:8786"
CONFIG = f"""\
provider = "null"

[executor]
dask = "{ADDRESS}"
tls = {{ ca = "tls/ca.pem", cert = "tls/me.pem", key = "tls/me.key" }}

[remote]
url = "http://127.0.0.1:9/cache"
token_env = "QWENBUILD_REMOTE_TOKEN"

[providers.null]
latency_s = 0.5
"""


@pytest.fixture
def clustered(project: Workspace) -> Workspace:
    """A project whose config names a cluster."""
    return project.write({"qwenbuild.toml": CONFIG, "specs/s.toml": '[image.a]\nprompt = "x"\n'})


def test_a_cluster_of_the_config_needs_approval(clustered: Workspace) -> None:
    """Until then free work is done here, and the plan says what is missing."""
    assert load(clustered.root).place is None
    assert ADDRESS in str(load(clustered.root).plan().warnings[0])
    approvals.record(clustered.root, wishes(clustered.root, os.environ).new)
    files = Tls(*(str(clustered.root / "tls" / name) for name in ("ca.pem", "me.pem", "me.key")))
    assert load(clustered.root).place == Place(ADDRESS, files)


def test_the_command_line_needs_none(clustered: Workspace) -> None:
    """It is the user's own, and comes before the config."""
    assert load(clustered.root, executor="local").place is None
    found = load(clustered.root, executor="dask=tcp://127.0.0.1:8786").place
    assert found is not None
    assert found.address == "tcp://127.0.0.1:8786"


def test_the_certificates_of_the_config_need_approval(clustered: Workspace) -> None:
    """Else a clone could say who may answer in place of the user's own scheduler. Another authority asks again."""
    mine = "dask=tls://mine.example:8786"
    with pytest.raises(Untrusted, match=r"ca\.pem would say which scheduler is the right one"):
        load(clustered.root, executor=mine)
    approvals.record(clustered.root, wishes(clustered.root, os.environ).new)
    found = load(clustered.root, executor=mine).place
    assert found is not None
    assert found.tls is not None
    clustered.write({"qwenbuild.toml": CONFIG.replace("tls/ca.pem", "tls/other.pem")})
    assert load(clustered.root).place is None
    with pytest.raises(Untrusted, match=r"other\.pem"):
        load(clustered.root, executor=mine)


def test_a_cluster_of_this_machine_needs_none(clustered: Workspace) -> None:
    """A project may ask for it."""
    clustered.write({"qwenbuild.toml": 'provider = "null"\n[executor]\ndask = "local"\n'})
    assert load(clustered.root).place == Place(LOCAL)


def test_a_wrong_option(clustered: Workspace) -> None:
    """The message says what can stand there."""
    with pytest.raises(UsageError) as caught:
        load(clustered.root, executor="dask=tcp://10.0.0.7:8786")
    assert str(caught.value) == (
        "error: --executor dask=tcp://10.0.0.7:8786 can't be used: tcp:// is neither encrypted nor guarded; "
        "a scheduler on another machine needs tls://\n"
        "  = hint: such as dask=local, dask=tcp://127.0.0.1:8786, dask=tls://scheduler:8786, "
        "or local for this machine alone"
    )


def test_a_wrong_config(project: Workspace) -> None:
    """The message shows the place, and what is known there."""
    project.write({"qwenbuild.toml": '[executor]\ndask = "tcp://10.0.0.7:8786"\nlts = 1\n'})
    with pytest.raises(ProjectError) as caught:
        load(project.root)
    text = str(caught.value)
    assert "qwenbuild.toml:2" in text
    assert "a scheduler on another machine needs tls://" in text
    assert 'did you mean "tls"' in text


def test_what_workers_get(clustered: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's settings, the cache's settings without secrets, and as many orders as `--jobs` allows."""
    approvals.record(clustered.root, wishes(clustered.root, os.environ).new)
    monkeypatch.setenv("QWENBUILD_REMOTE_TOKEN", "tok-canary")
    away = distributing.away_of(load(clustered.root, jobs=3), lambda problem: None)
    assert away is not None
    assert (away.at_once, away.recipe(Choice())) == (3, ("null", {"latency_s": 0.5}, {}))
    assert away.recipe(Choice("draft")) == ("draft", {}, {})
    assert away.shared is not None
    assert (away.shared.url, away.shared.token_env) == ("http://127.0.0.1:9/cache", "QWENBUILD_REMOTE_TOKEN")
    assert "canary" not in repr(away)


def test_thumbnails_of_a_report(
    project: Workspace, threads: InThreads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers read the images in the shared cache. What they can't make is made here; so is all if they are gone."""
    with Cache().running() as cache:
        config = f'provider = "null"\n[executor]\ndask = "local"\n[remote]\nurl = "{cache.url}"\n'
        spec = '[image.a]\nprompt = "x"\nmatrix = { seed = [1, 2, 3] }\n'
        project.write({"qwenbuild.toml": config, "specs/s.toml": spec})
        monkeypatch.setenv(TRUST_ENV, "1")
        assert load(project.root).build().rendered == 3
        assert load(project.root).report(tmp_path / "few").warnings == []
        assert len(threads.done) == 3  # so few are made here
        made = sorted((tmp_path / "few" / "thumbnails").iterdir())

        monkeypatch.setattr(distributing, "_WORTH_CONNECTING", 1)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        del cache.files[next(path for path in cache.files if path == f"cas/{made[0].stem}")]
        assert load(project.root).report(tmp_path / "all").warnings == []
        assert sorted(digest for _, digest in threads.done[3:]) == [path.stem for path in made]
        found = sorted((tmp_path / "all" / "thumbnails").iterdir())
        assert [path.read_bytes() for path in found] == [path.read_bytes() for path in made]

        threads.fault = ExecutorError("the cluster is gone")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third"))
        written = load(project.root).report(tmp_path / "again")
        assert [problem.claim for problem in written.warnings] == ["the cluster is gone"]
        assert len([*(tmp_path / "again" / "thumbnails").iterdir()]) == 3


def test_the_token_is_for_the_caches_own_url(clustered: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another cache, named by the command line, gets none. One that is only read is not shared."""
    monkeypatch.setenv("QWENBUILD_REMOTE_TOKEN", "tok-canary")
    asked = distributing.away_of(
        load(clustered.root, executor="dask=local", remote="http://127.0.0.1:9/other"), lambda problem: None
    )
    assert asked is not None
    assert asked.shared is not None
    assert (asked.shared.url, asked.shared.token_env) == ("http://127.0.0.1:9/other", None)
    approvals.record(clustered.root, wishes(clustered.root, os.environ).new)
    monkeypatch.delenv("QWENBUILD_REMOTE_TOKEN")
    own = distributing.away_of(load(clustered.root), lambda problem: None)
    assert own is not None
    assert own.shared is None
