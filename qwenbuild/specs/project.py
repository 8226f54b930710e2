"""A project: the folder with `qwenbuild.toml` (or `[tool.qwenbuild]` in `pyproject.toml`), and its config."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from qwenbuild.catalogue import BadDeclaration, Catalogue, ModelTable, RegionPrices, builtin
from qwenbuild.errors import ProjectError
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Problem
from qwenbuild.state_folder import FOLDER

from . import discovery, validation


class Budget(BaseModel):
    """What one build may spend."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    max_cost: Decimal | None = Field(default=None, ge=0, description="most that one build may cost, in CNY")


class RemoteConfig(BaseModel):
    """Where rendered images are shared with other machines."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    url: str | None = Field(default=None, description="where: a server of Bazel's HTTP cache protocol")
    read_only: bool = Field(default=False, strict=True, description="whether nothing is stored there")
    token_env: str | None = Field(default=None, description="variable that holds the bearer token; empty: read only")
    secret_env: str | None = Field(
        default=None,
        description="variable that holds the secret of signatures; empty: read only, and unverified",
    )  # fmt: skip
    header: dict[str, str] = Field(default_factory=dict, description="headers of every request, by name")

    @field_validator("token_env", "secret_env")
    @classmethod
    def _is_for_remotes(cls, name: str | None) -> str | None:
        # A prefix of its own, so that no project that somebody clones can have another secret sent to its remote.
        if name is not None and not re.fullmatch("QWENBUILD_REMOTE_[A-Z0-9_]+", name):
            raise ValueError("must be a variable that begins with QWENBUILD_REMOTE_, such as QWENBUILD_REMOTE_TOKEN")
        return name


class Config(BaseModel):
    """The project's config; every key is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, title="qwenbuild config")

    provider: str = Field(default="dashscope", description="what renders: dashscope, draft, null, or a plugin's name")
    specs: str = Field(default=discovery.SPECS, description="glob of the specs, relative to the project")
    templates: str = Field(default="templates", description="folder of the templates")
    out: str = Field(default="out", description="folder of the images")
    max_renders: int = Field(default=10_000, ge=0, strict=True, description="most new renders in one build")
    resubmit: Literal["never", "always"] = Field(
        default="never", description="whether requests that may have been billed are sent again"
    )
    budget: Budget = Field(default_factory=Budget)
    remote: RemoteConfig = Field(default_factory=RemoteConfig)
    providers: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings of each provider, by name")
    models: dict[str, ModelTable] = Field(default_factory=dict, description="models beyond the catalogue's")

    @field_validator("specs", "templates", "out")
    @classmethod
    def _is_inside(cls, text: str) -> str:
        if fault := discovery.path_fault(text):
            raise ValueError(fault)
        return text

    @field_validator("specs")
    @classmethod
    def _matches_files(cls, text: str) -> str:
        if fault := discovery.glob_fault(text):
            raise ValueError(fault)
        return text


@dataclass(frozen=True, slots=True)
class Project:
    """A project's root, its config, and the places that follow from them. `shown` names the config in messages."""

    root: Path
    config: Config
    catalogue: Catalogue = field(repr=False)
    searched: tuple[Path, ...] = ()  # config files looked for, the last one being the project's

    @property
    def out(self) -> Path:
        """The folder of the images."""
        return self.root / self.config.out

    @property
    def templates(self) -> Path:
        """The folder of the templates."""
        return self.root / self.config.templates

    @property
    def state_dir(self) -> Path:
        """The folder of the state and of everything derived."""
        return self.root / FOLDER

    def spec_paths(self) -> list[Path]:
        """Return the files that the specs' glob matches, sorted; hidden files are left out."""
        return discovery.spec_paths(self.root, self.config.specs)

    def spec_folders(self) -> list[Path]:
        """Return the folders in which a new file could become a spec."""
        return discovery.spec_folders(self.root, self.config.specs)

    def spec_name(self, path: Path) -> str:
        """Return a spec's name: its path without suffix, relative to the folder in which the glob's wildcards start."""
        return discovery.spec_name(self.root, self.config.specs, path)

    def shown(self, path: Path) -> str:
        """Return `path` as messages name it: relative to the project where it lies inside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def find(start: Path) -> Project:
    """Return the project that the folder `start` belongs to; raises ProjectError or UsageError."""
    file = discovery.find_config(start)
    try:
        config = Config.model_validate(file.table)
    except ValidationError as error:
        found = validation.problems(error, file.source, _known_keys, file.keys)
        raise ProjectError(list(found.values())) from None
    try:
        catalogue = builtin().extended(config.models)
    except BadDeclaration as error:
        place = file.source.place((*file.keys, "models", error.model, error.key))
        raise ProjectError([Problem(f"model {error.model}: {error.key}: {error.reason}", place)]) from None
    return Project(file.root, config, catalogue, file.searched)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the config (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def _known_keys(keys: Keys) -> list[str]:
    match keys:
        case ():
            return list(Config.model_fields)
        case ("budget",):
            return list(Budget.model_fields)
        case ("remote",):
            return list(RemoteConfig.model_fields)
        case ("models", _):
            return list(ModelTable.model_fields)
        case ("models", _, "price_cny"):
            return list(RegionPrices.model_fields)
        case _:
            return []
