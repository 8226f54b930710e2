"""The project: its folder, its validated config, and the paths that follow from the config."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from qwenbuild.catalogue import BadDeclaration, Catalogue, builtin
from qwenbuild.errors import ProjectError
from qwenbuild.executor import address_fault
from qwenbuild.files.toml_positions import Keys
from qwenbuild.model_tables import AreaPrice, ModelPrices, ModelTable, RegionPrices
from qwenbuild.problems import Problem
from qwenbuild.state_folder import FOLDER, LOCK
from qwenbuild.trust import Trust

from . import declared_names, discovery, outside, prices, profiles, user_config, validation
from .discovery import ConfigFile
from .fields import Axis, DataFile, Fields, Range
from .given import Given
from .profiles import Budget, Profile

_ELSEWHERE: Mapping[Keys, str] = {
    **{(key,): f"it belongs into [providers.dashscope]: {key} = …" for key in
       ("region", "interface", "base_url", "workspace", "timeout_s", "submits", "max_concurrency")},
    ("max_cost",): "it belongs into [budget]: max_cost = …",
    ("url",): "it belongs into [remote]: url = …",
    **{(key,): f"it belongs into [defaults]: {key} = …" for key in
       ("model", "size", "seed", "negative_prompt", "prompt_extend", "watermark", "output", "vars", "parameters")},
}  # fmt: skip
"""Hints for keys that people write at the top of a config, and that belong into one of its tables."""

_OF_REMOTES = r"^QWENBUILD_REMOTE_[A-Z0-9_]+$"


class RemoteConfig(BaseModel):
    """The cache that shares rendered images with other machines."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    url: str | None = Field(default=None, description="URL of the cache, a server of Bazel's HTTP cache protocol")
    read_only: bool = Field(default=False, strict=True, description="true: read from the cache, never write to it")
    token_env: str | None = Field(
        default=None,
        description="environment variable with the bearer token; empty: read only",
        json_schema_extra={"pattern": _OF_REMOTES},
    )
    secret_env: str | None = Field(
        default=None,
        description="environment variable with the secret for signatures; empty: read only, and unverified",
        json_schema_extra={"pattern": _OF_REMOTES},
    )  # fmt: skip
    header: dict[str, str] = Field(default_factory=dict, description="headers of each request, by name")

    @field_validator("token_env", "secret_env")
    @classmethod
    def _is_for_remotes(cls, name: str | None) -> str | None:
        # The prefix protects other secrets: a project that somebody clones can't send them to its remote.
        if name is not None and not re.fullmatch(_OF_REMOTES, name):
            raise ValueError("must be a variable that begins with QWENBUILD_REMOTE_, such as QWENBUILD_REMOTE_TOKEN")
        return name


class TlsConfig(BaseModel):
    """The PEM files of a cluster's mutual TLS; paths are relative to the project."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    ca: str = Field(description="certificate authority of the cluster")
    cert: str = Field(description="certificate of this machine")
    key: str = Field(description="private key of this machine")


class ExecutorConfig(BaseModel):
    """The cluster whose workers make free images."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    dask: str | None = Field(
        default=None, description='address of a Dask scheduler, such as tls://scheduler:8786, or "local"'
    )
    tls: TlsConfig | None = Field(
        default=None, description="certificates for tls://; by default those of Dask's own config"
    )

    @field_validator("dask")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        if text is not None and (fault := address_fault(text)):
            raise ValueError(fault)
        return text


class Config(BaseModel):
    """The config of a project; every key is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, title="qwenbuild config")

    provider: str = Field(
        default="dashscope",
        description="renders the images: dashscope, images, comfyui, draft, null, or a plugin's name",
    )
    specs: str = Field(default=discovery.SPECS, description="glob of the specs, relative to the project")
    templates: str = Field(default="templates", description="folder of the templates")
    out: str = Field(default="out", description="folder of the images")
    max_renders: int = Field(
        default=10_000, ge=0, le=1_000_000, strict=True, description="the most new renders in one build"
    )
    resubmit: Literal["never", "always"] = Field(
        default="never", description="whether to send requests again that may have been billed"
    )
    budget: Budget = Field(default_factory=Budget)
    remote: RemoteConfig = Field(default_factory=RemoteConfig)
    executor: ExecutorConfig = Field(default_factory=ExecutorConfig)
    providers: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings of each provider, by name")
    models: dict[str, ModelTable] = Field(default_factory=dict, description="models that the catalogue lacks, by name")
    prices: dict[str, ModelPrices] = Field(
        default_factory=dict, description="the price of one image in CNY, by model, in place of the catalogue's"
    )
    defaults: Fields = Field(default_factory=Fields, description="fields and variables for the images of all specs")
    axes: dict[str, Axis] = Field(
        default_factory=dict, description="axes that images share; an image names them in its own `axes`"
    )
    profiles: dict[str, Profile] = Field(
        default_factory=dict, description="settings that --profile NAME puts over the others, by name"
    )

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
    """A project's root, its config, and the paths that follow from them.

    `given` is what the command line gives. The settings of its profile are in `config`, but for the defaults.
    """

    root: Path
    config: Config
    catalogue: Catalogue = field(repr=False)
    file: ConfigFile = field(repr=False)
    trust: Trust = field(default_factory=Trust, repr=False, compare=False)
    given: Given = field(default_factory=Given, repr=False)

    @property
    def profile(self) -> Profile | None:
        """The profile that the command line chose; None for none."""
        return self.config.profiles.get(self.given.profile)

    @property
    def searched(self) -> tuple[Path, ...]:
        """The config files that were looked for; the last one is the project's."""
        return self.file.searched

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
        """The folder of the state and of all files that can be made again."""
        return self.root / FOLDER

    def spec_paths(self) -> list[Path]:
        """Return the files that the specs' glob matches, sorted; hidden files are left out.

        Raises Untrusted if one of them is a link out of the project that the user has not approved.
        """
        found = discovery.spec_paths(self.root, self.config.specs)
        self.trust.require(*outside.links(self.root, found))
        return found

    def spec_folders(self) -> list[Path]:
        """Return the folders in which a new file could become a spec."""
        return discovery.spec_folders(self.root, self.config.specs)

    def spec_name(self, path: Path) -> str:
        """Return a spec's name: its path without suffix, relative to the folder in which the glob's wildcards start."""
        return discovery.spec_name(self.root, self.config.specs, path)

    def shown(self, path: Path) -> str:
        """Return `path` as messages name it: relative to the project if it lies inside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def find(
    start: Path, environ: Mapping[str, str] = os.environ, trust: Trust | None = None, given: Given | None = None
) -> Project:
    """Return the project that the folder `start` belongs to; `trust` is by default what the user allows it.

    `given` is what the command line gives. Raises ProjectError or UsageError; Untrusted if the project lies, in part or
    whole, where `trust` does not allow it.
    """
    file = discovery.find_config(start)
    trust = trust or user_config.trust_of(file.root, environ)
    trust.require(*outside.owners(start, file.searched[-1], environ))
    try:
        config = Config.model_validate(file.table)
    except ValidationError as error:
        found = validation.problems(error, file.source, _known_keys, file.keys, _ELSEWHERE)
        raise ProjectError(list(found.values())) from None
    if wrong := [
        *user_config.misplaced(config.providers, file.source, file.keys),
        *declared_names.of_config(config.defaults.vars, config.axes, file.source, file.keys),
        *profiles.problems(config.profiles, file.source, file.keys),
    ]:
        raise ProjectError(wrong)
    try:
        declared = prices.with_prices(config, file.source, file.keys)
        catalogue = builtin().extended(declared)
        catalogue = catalogue.extended(prices.corrections(declared, catalogue.models, config.prices, trust))
    except BadDeclaration as error:
        raise badly_declared(file, error) from None
    given = given or Given()
    project = Project(file.root, profiles.applied(config, given.profile), catalogue, file, trust, given)
    inside = outside.contents(project.state_dir, levels=2)
    if wrong := list(outside.special(project.root, inside)):
        raise ProjectError(wrong)
    for key in ("out", "templates"):
        if outside.is_in_git(project.root, path := getattr(config, key)):
            place = file.source.place((*file.keys, key))
            claim = f'{key} = "{path}" lies in git\'s own folder'
            raise ProjectError([Problem(claim, place, hint=f'such as "{key}"', name="outside-project")])
    read = [project.searched[-1], project.root / LOCK, project.templates, *project.spec_folders()[:1]]
    trust.require(*outside.links(project.root, [*read, project.out, project.state_dir, *inside]))
    return project


def badly_declared(file: ConfigFile, error: BadDeclaration) -> ProjectError:
    """Return the error that a model in a config's `[models]` contradicts itself."""
    place = file.source.place((*file.keys, "models", error.model, error.key))
    return ProjectError([Problem(f"model {error.model}: {error.key}: {error.reason}", place, name="wrong-value")])


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the config (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def _known_keys(keys: Keys) -> list[str]:
    match keys:
        case ():
            return list(Config.model_fields)
        case ("budget",) | ("profiles", _, "budget"):
            return list(Budget.model_fields)
        case ("remote",):
            return list(RemoteConfig.model_fields)
        case ("executor",):
            return list(ExecutorConfig.model_fields)
        case ("executor", "tls"):
            return list(TlsConfig.model_fields)
        case ("models", _):
            return list(ModelTable.model_fields)
        case ("models", _, "price_cny") | ("prices", _):
            return list(RegionPrices.model_fields)
        case ("models", _, "price_cny", _, _) | ("prices", _, _) | ("prices", _, _, _):
            return list(AreaPrice.model_fields)
        case ("profiles", _):
            return list(Profile.model_fields)
        case ("defaults",) | ("profiles", _, "defaults"):
            return list(Fields.model_fields)
        case ("axes", _):
            return [*DataFile.model_fields, *Range.model_fields]
        case _:
            return []
