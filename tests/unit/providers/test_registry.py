"""The registry: built-in providers, plugins, and what is reported about broken ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProviderError, UsageError
from qwenbuild.provider import Provider, Settings
from qwenbuild.providers.comfyui.provider import ComfyUIProvider
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.providers.draft.provider import DraftProvider
from qwenbuild.providers.images.provider import ImagesProvider
from qwenbuild.providers.null import NullProvider
from qwenbuild.providers.registry import BUILT_IN, create, installed

SETTINGS = Settings({}, builtin(), {"SECRET": "sk-secret"}, 3)


def plugin(folder: Path, name: str, entry: str, source: str = "") -> None:
    """Install a distribution with one provider."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[qwenbuild.providers]\n{name} = {entry}\n")
    (folder / f"{name}_module.py").write_text(source)


def test_the_built_in_providers() -> None:
    """Five providers come with qwenbuild, under their own names."""
    kinds = {
        "comfyui": ComfyUIProvider, "dashscope": DashScopeProvider, "draft": DraftProvider, "images": ImagesProvider,
        "null": NullProvider,
    }  # fmt: skip
    assert tuple(kinds) == BUILT_IN
    assert set(kinds) <= set(installed())
    tables = {"images": {"dialect": "sglang"}}
    for name, kind in kinds.items():
        provider: Provider = create(name, replace(SETTINGS, table=tables.get(name, {})))
        assert (type(provider), provider.name) == (kind, name)


def test_families_differ() -> None:
    """No two providers share a family; otherwise a draft could be taken for an image of the service."""
    families = {create(name, SETTINGS).family for name in ("dashscope", "draft", "null")}
    assert len(families) == 3


def test_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The factory of a plugin gets the settings."""
    plugin(tmp_path, "fancy", "fancy_module:make", "def make(settings):\n    return settings\n")
    monkeypatch.syspath_prepend(tmp_path)
    made: object = create("fancy", SETTINGS)
    assert made is SETTINGS
    sys.modules.pop("fancy_module", None)


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        ("nosuch_module:make", ""),
        ("torn_module:nosuch", ""),
        ("torn_module:make", "raise ImportError('no fonts')\n"),
        ("torn_module:make", "raise ZeroDivisionError\n"),
        ("torn_module:make", "not Python\n"),
    ],
)
def test_a_plugin_that_fails_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, source: str) -> None:
    """A plugin without its module or factory, or whose import raises, is a UsageError."""
    plugin(tmp_path, "torn", entry, source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match='provider "torn" can not be loaded: '):
        create("torn", SETTINGS)
    sys.modules.pop("torn_module", None)


def test_a_plugin_that_fails_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception of a plugin's factory is reported as a mistake of the plugin."""
    plugin(tmp_path, "sick", "sick_module:make", "def make(settings):\n    return settings.nosuch\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ProviderError, match='the provider "sick" broke: AttributeError: '):
        create("sick", SETTINGS)
    sys.modules.pop("sick_module", None)


def test_an_unknown_provider() -> None:
    """The error about an unknown name lists the installed providers and suggests the nearest name."""
    with pytest.raises(UsageError) as caught:
        create("darft", SETTINGS)
    assert caught.value.claim == 'unknown provider "darft"'
    assert caught.value.facts[0].startswith("installed: comfyui, dashscope, draft, images, null")
    assert caught.value.hint == 'did you mean "draft"?'


def test_an_option_that_the_provider_does_not_take() -> None:
    """`--region` with a provider that has no regions is an error; an option that was not given is no error."""
    assert create("null", SETTINGS, {"region": None}).name == "null"
    with pytest.raises(UsageError) as caught:
        create("null", SETTINGS, {"region": "beijing"})
    assert (caught.value.claim, caught.value.hint) == (
        'the provider "null" takes no region',
        '"dashscope" does',
    )
