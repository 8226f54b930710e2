"""Profiles: named settings of the config that `--profile` puts over its others.

A profile may set the provider with its region and interface, the budget, and defaults. Profiles do not inherit from
each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from qwenbuild.errors import UsageError
from qwenbuild.files.toml import TomlFile
from qwenbuild.model_tables import Money
from qwenbuild.problems import Problem, did_you_mean, listing

from . import declared_names
from .fields import Fields

if TYPE_CHECKING:
    from .project import Config


class Budget(BaseModel):
    """Limits on what one build spends."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    max_cost: Money | None = Field(default=None, description="the most that one build may cost, in CNY")


class Profile(BaseModel):
    """Settings that `--profile NAME` puts over those of the config."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    provider: str | None = Field(default=None, description="renders the images instead of the config's provider")
    region: str | None = Field(default=None, description="region of the service, if the provider has regions")
    interface: str | None = Field(default=None, description="interface of the service, if the provider has several")
    budget: Budget = Field(default_factory=Budget, description="limits that replace those of the config")
    defaults: Fields = Field(
        default_factory=Fields, description="fields and variables for all specs, before those of the config's defaults"
    )


def applied(config: Config, name: str) -> Config:
    """Return the config with the settings of the profile `name`; raises UsageError if there is no such profile.

    Its defaults are not applied: they are a layer of their own.
    """
    if not name:
        return config
    if name not in config.profiles:
        known = [f"profiles: {listing(config.profiles)}"] if config.profiles else []
        hint = did_you_mean(name, config.profiles) or (None if known else "the config declares them: [profiles.NAME]")
        raise UsageError(f'no profile "{name}"', facts=known, hint=hint, name="unknown-profile")
    profile = config.profiles[name]
    changes: dict[str, object] = {}
    if profile.provider is not None:
        changes["provider"] = profile.provider
    if profile.budget.model_fields_set:
        changes["budget"] = profile.budget
    return config.model_copy(update=changes)


def problems(profiles: Mapping[str, Profile], source: TomlFile, keys: tuple[str, ...]) -> Iterator[Problem]:
    """Yield the problems of the names of profiles and of their variables; `keys` are those of the config's table."""
    for name, profile in profiles.items():
        if why := declared_names.label_fault(name):
            place = source.place((*keys, "profiles", name), key=True)
            yield Problem(f'not a profile\'s name: "{name}"', place, why, name="wrong-name")
        yield from declared_names.of_variables(
            profile.defaults.vars, source, (*keys, "profiles", name, "defaults", "vars")
        )
