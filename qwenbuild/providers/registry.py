"""The registry: finds and creates providers, built-in ones and plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.problems import did_you_mean, listing
from qwenbuild.provider import Provider, Settings, broken, options_of

if TYPE_CHECKING:
    from .draft.provider import DraftProvider

GROUP: Final = "qwenbuild.providers"
"""The group of the entry points of plugins."""

SERVICE: Final = "dashscope"
"""The built-in provider that renders at a service: hints and `qwenbuild tasks` name it."""


# Looked up first: searching all installed packages takes time, and no plugin may take these names.
_OWN: Final = {
    "comfyui": ("comfyui.provider", "ComfyUIProvider"),
    "dashscope": ("dashscope.provider", "DashScopeProvider"),
    "draft": ("draft.provider", "DraftProvider"),
    "images": ("images.provider", "ImagesProvider"),
    "null": ("null", "NullProvider"),
}
BUILT_IN: Final = tuple(_OWN)
"""The names of the providers that come with qwenbuild."""


def installed() -> list[str]:
    """Return the names of the providers that are installed, sorted."""
    from importlib.metadata import entry_points

    return sorted({*_OWN, *entry_points(group=GROUP).names})


def create(
    name: str,
    settings: Settings,
    options: Mapping[str, str | None] | None = None,
    preferred: Mapping[str, str | None] | None = None,
    *,
    lenient: bool = False,
) -> Provider:
    """Return the provider `name`; `options` are command-line options (see `provider.OPTIONS`), None for not given.

    `preferred` are values of the same options that a profile sets: a provider that does not take one ignores it. With
    `lenient`, this holds for `options`, too.
    Raises UsageError if no such provider is installed, if it can't be loaded, or if it does not take an option.
    Raises the QwenbuildError of the provider itself; any other exception becomes a ProviderError.
    """
    try:
        factory = _factory(name)
    except Exception as error:  # importing a plugin may raise anything
        raise UsageError(f'provider "{name}" can not be loaded: {error}', name="provider-not-loaded") from error
    if factory is None:
        known = installed()
        raise UsageError(
            f'unknown provider "{name}"',
            facts=[f"installed: {listing(known)}"],
            hint=did_you_mean(name, known),
            name="unknown-provider",
        )
    taken = options_of(factory)
    given = {option: value for option, value in (options or {}).items() if value and (option in taken or not lenient)}
    for option in given:
        if option not in taken:
            raise UsageError(
                f'the provider "{name}" takes no {option}', hint=f'"{SERVICE}" does', name="option-not-taken"
            )
    wanted = {option: value for option, value in (preferred or {}).items() if value and option in taken}
    if given or wanted:
        settings = replace(settings, table={**settings.table, **wanted, **given}, insisted=frozenset(given))
    try:
        provider: Provider = factory(settings)
    except QwenbuildError:
        raise
    except Exception as error:
        raise broken(name, error) from error
    return provider


def find(name: str) -> Callable[[Settings], Provider] | None:
    """Return what makes the provider `name`; None if there is none, or if it can't be loaded: `create` tells why."""
    try:
        return _factory(name)
    except Exception:  # importing a plugin may raise anything
        return None


def create_drafter(settings: Settings) -> DraftProvider:
    """Return the provider that draws drafts of images of another provider. It never draws in this process."""
    from .draft.provider import DraftProvider

    return DraftProvider(settings, only_processes=True)


def _factory(name: str) -> Callable[[Settings], Provider] | None:
    """Return the factory of the provider `name`, None if no such provider is installed. May raise anything."""
    found: Callable[[Settings], Provider] | None = None
    if name in _OWN:
        module, maker = _OWN[name]
        found = getattr(import_module(f"qwenbuild.providers.{module}"), maker)
    else:
        from importlib.metadata import entry_points

        for point in entry_points(group=GROUP, name=name):
            found = point.load()
    return found
