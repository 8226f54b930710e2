"""What every test gets: a home, a cache and an environment of its own, and a folder for a project."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.workspace import Workspace

# A shared machine is slow at times; what a test may take is pytest's timeout.
# The gate runs the same examples each time, so it needs fewer of them; everywhere else new ones are tried.
# On another Python, a few show whether the code works there.
settings.register_profile(
    "qwenbuild", deadline=None, derandomize="CI" in os.environ,
    max_examples=10 if "FEW_EXAMPLES" in os.environ else 40 if "CI" in os.environ else 100,
)  # fmt: skip
settings.load_profile("qwenbuild")

# `nohup` and `&` in a script ignore signals, also for all commands that the tests start.
for _name in ("SIGINT", "SIGHUP", "SIGQUIT"):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)


_numbers = itertools.count()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another Python, keep one case of each test: what differs there is the language, not the case."""
    if "FEW_EXAMPLES" in os.environ:
        functions = {item.nodeid.partition("[")[0]: item for item in reversed(items)}
        kept = {*functions.values()}
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at ten thousand tests again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache, settings and credentials out of every test."""
    for name in os.environ:
        if name.startswith(("DASHSCOPE_", "QWENBUILD_", "AWS_", "GOOGLE_", "AZURE_", "OSS_", "ALIBABA_CLOUD_")):
            monkeypatch.delenv(name)
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(_numbers))  # mktemp would look at each of them
    home.mkdir(parents=True)
    places = {"HOME": "", "USERPROFILE": "", "XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config",
              "XDG_DATA_HOME": ".data", "QWENBUILD_CACHE_DIR": ".cache/qwenbuild"}  # fmt: skip
    for name, below in places.items():
        monkeypatch.setenv(name, str(home / below))


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    """A folder with an empty config: the smallest project."""
    return Workspace(tmp_path / "project").write({"qwenbuild.toml": ""})
