"""The user's own config: what only the user may say, and no project.

It is the file `config.toml` in the user's config folder, such as `~/.config/qwenbuild/config.toml`. A project's files
may be a stranger's, so a project that sets one of these keys is refused. `[trust."/path/of/a/project"]` holds what the
user has approved for that project; `[trust."/path/*"]` holds for all projects below a folder, `[trust."*"]` for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qwenbuild.errors import ProjectError
from qwenbuild.files.toml import TomlFile
from qwenbuild.files.toml_positions import Keys
from qwenbuild.files.user_folders import config_folder
from qwenbuild.problems import Problem
from qwenbuild.trust import Item, Kind, Trust, allows_all

from . import validation

NAME = "config.toml"


class OwnProvider(BaseModel):
    """What the user says about the accounts that one provider uses."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    sole_user: bool = Field(
        default=False, strict=True, description="true: nothing but qwenbuild on this machine uses the account"
    )


class Approved(BaseModel):
    """What the user has approved for one project, or for several; see `trust.Kind`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    secrets: list[str] = Field(default_factory=list, description='such as "DASHSCOPE_API_KEY to https://host"')
    remotes: list[str] = Field(default_factory=list, description='such as "https://cache.example/team"')
    executors: list[str] = Field(default_factory=list, description='such as "tls://scheduler.example:8786"')
    links: list[str] = Field(default_factory=list, description='such as "templates -> /home/me/templates"')
    servers: list[str] = Field(default_factory=list, description='such as "http://gpu.example:8188"')
    prices: list[str] = Field(default_factory=list, description='such as "qwen-image in beijing: 0.10 CNY"')
    owners: list[str] = Field(default_factory=list, description='such as "user 1001 (ann) owns /srv/posters"')


class UserConfig(BaseModel):
    """The user's own config; every key is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, title="the user's qwenbuild config")

    providers: dict[str, OwnProvider] = Field(
        default_factory=dict, description="what the user says about each provider, by name"
    )
    trust: dict[str, Approved] = Field(
        default_factory=dict, description="what the user has approved for each project, by the project's folder"
    )

    def of_provider(self, name: str) -> OwnProvider:
        """Return what the user says about the provider `name`, or the defaults."""
        return self.providers.get(name) or OwnProvider()

    def approved(self, root: Path) -> frozenset[Item]:
        """Return what the user has approved for the project in the folder `root`."""
        found = [table for name, table in self.trust.items() if _is_for(name, root)]
        return frozenset(
            Item(Kind(kind), value, "", "") for table in found for kind, values in table for value in values
        )


def _is_for(name: str, root: Path) -> bool:
    """Return whether the table `[trust."name"]` is about the project in `root`."""
    if name == "*":
        return True
    if name.endswith("/*"):
        return Path(name[:-2]) in root.parents
    return Path(name) == root


def path() -> Path | None:
    """Return the path of the user's config, which may not exist; None if the user has no home folder."""
    folder = config_folder()
    return folder / NAME if folder else None


def read() -> UserConfig:
    """Return the user's config, the defaults if there is no file. Raises ProjectError with every mistake in it."""
    file = path()
    if file is None or not os.path.lexists(file):
        return UserConfig()
    source = TomlFile.read(file, str(file))
    try:
        return UserConfig.model_validate(source.table)
    except ValidationError as error:
        raise ProjectError(list(validation.problems(error, source, _known_keys).values())) from None


def misplaced(tables: Mapping[str, Mapping[str, Any]], source: TomlFile, prefix: Keys) -> Iterator[Problem]:
    """Yield a problem for each key of a project's `[providers.NAME]` that only the user's config may hold.

    `tables` are these tables by name, `prefix` the keys of the project's config in the file `source`.
    """
    for name, table in tables.items():
        for key in OwnProvider.model_fields.keys() & table.keys():
            yield Problem(
                f'"{key}" in [providers.{name}] is for your own config, not for a project\'s',
                source.place((*prefix, "providers", name, key), key=True),
                facts=("a project's files may come from somebody else",),
                hint=f"remove it here, and write it into {path() or NAME}",
                name="user-only-setting",
            )


def _known_keys(keys: Keys) -> list[str]:
    tables: dict[str, type[BaseModel]] = {"providers": OwnProvider, "trust": Approved}
    return list(tables.get(str(keys[0]) if keys else "", UserConfig).model_fields)


def trust_of(root: Path, environ: Mapping[str, str]) -> Trust:
    """Return what the user allows the project in the folder `root`. The config is read when the project asks."""
    return Trust(lambda: read().approved(root), allow_all=allows_all(environ))
