"""What of a user's environment would keep qwenbuild from working, and what to do about each thing.

Invariants: nothing is changed and nothing is spent: the service and the remote are asked for what costs nothing.
No finding holds the API key or a token. Every check gives findings, never an exception: what can't be
examined is a finding too. A failing finding must be fixed before the project can be built as it is
configured; a warning may stay.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from qwenbuild import provider
from qwenbuild.errors import ProjectError, ProviderError, QwenbuildError, Unreachable, UsageError
from qwenbuild.problems import listing
from qwenbuild.providers import registry
from qwenbuild.providers.dashscope import wire
from qwenbuild.providers.dashscope.credentials import ApiKey, Endpoint, find_endpoint, find_key
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.providers.draft import fonts
from qwenbuild.specs.project import CONFIG_NAME, Project, find
from qwenbuild.specs.reading import Reading
from qwenbuild.storage import lock
from qwenbuild.storage.remote import cache
from qwenbuild.storage.store import Store, default_root
from qwenbuild.version import __version__

from .checkup import Finding, Level, failed, of_project, of_store

_SKEW_S: Final = 60.0  # of this machine's clock; lost tasks are matched by time, certificates have one too
_PATIENCE_S: Final = 15.0  # with whoever is asked over the network
_REQUIREMENT: Final = re.compile(r"([\w.-]+)(?:\[.*?\])? *(?:(>=|==) *([\d.]+))?")


def examine(start: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings as they are made, on this machine and on the project that the folder `start` lies in, if any.

    Raises UsageError where there is no such folder.
    """
    if not start.is_dir():
        raise UsageError(f"no such folder: {start}")
    yield from _installation()
    yield _fonts()
    project = None
    try:
        project = find(start)
        yield Finding("project", Level.OK, str(project.root))
    except UsageError:
        yield Finding("project", Level.OK, f"none here: no {CONFIG_NAME} in this folder or above")
    except ProjectError as error:
        yield failed("project", error)
    yield from of_store(Store(default_root(environ)), project)
    chosen = None
    if project:
        try:
            name = project.config.provider
            table = project.config.providers.get(name, {})
            chosen = registry.create(name, provider.Settings(table, project.catalogue, environ))
            yield Finding("provider", Level.OK, name)
        except QwenbuildError as error:
            yield failed("provider", error)
        if chosen:
            yield _specs(project, chosen)
        yield from of_project(project)
        yield from _remote(project, environ)
    yield from _account(project, chosen, environ)


def _specs(project: Project, chosen: provider.Provider) -> Finding:
    """Read all that builds read."""
    reading = Reading(project, chosen, None, project.config.max_renders)
    try:
        actions, _ = reading.actions(map(lock.counts, [project.root / lock.NAME]))
    except QwenbuildError as error:
        return failed("specs", error)
    return Finding("specs", Level.OK, f"{len(actions):,} outputs are declared")


def _installation() -> Iterator[Finding]:
    """Compare the packages that are installed with what the distribution asks for."""
    yield Finding(
        "qwenbuild", Level.OK, f"{__version__} on Python {platform.python_version()}", (f"python: {sys.executable}",)
    )
    try:
        required = metadata.requires("qwenbuild") or []
    except metadata.PackageNotFoundError:
        hint = "install it: python -m pip install qwenbuild"
        yield Finding("packages", Level.FAIL, "qwenbuild runs from its source, and is not installed", hint=hint)
        return
    wrong = []
    plain = [one for one in required if ";" not in one]  # the others belong to extras
    for one in plain:
        match = _REQUIREMENT.match(one)
        if match and (found := _unfit(*match.groups())):
            wrong.append((one, found))
    if wrong:
        facts = tuple(f"{one}: {found}" for one, found in wrong)
        fix = " ".join(f"'{one}'" for one, _ in wrong)
        hint = f"{sys.executable} -m pip install {fix}"
        yield Finding("packages", Level.FAIL, "packages are missing or of another version", facts, hint)
    else:
        yield Finding("packages", Level.OK, f"all {len(plain)} are installed and fit")


def _unfit(name: str, relation: str | None, wanted: str | None) -> str:
    """Return what is wrong with an installed package, or nothing."""
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
    if wanted is None:
        return ""
    have, need = _release(installed), _release(wanted)
    return "" if have == need or (relation == ">=" and have > need) else f"{installed} is installed"


def _release(version: str) -> list[int]:
    """Return the numbers of a version's release, without zeros at the end: 1.10.0rc1 gives [1, 10]."""
    numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[^\d.]", version, maxsplit=1)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _fonts() -> Finding:
    broken = fonts.broken_fonts()
    if broken:
        hint = f"{sys.executable} -m pip install --force-reinstall justmytype-intl-cjk"
        return Finding("fonts", Level.FAIL, "the fonts of drafts can't be used", tuple(broken), hint)
    return Finding("fonts", Level.OK, "those of drafts are there")


def _remote(project: Project, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Ask the remote cache, where there is one, for something that it has not."""
    config = project.config.remote
    try:
        remote = cache.of(config, None, environ)
        if remote is None:
            return
        asyncio.run(_asked(remote))
    except QwenbuildError as error:
        yield failed("remote", error)
        return
    except TimeoutError:
        yield Finding("remote", Level.WARN, f"the remote cache did not answer within {_PATIENCE_S:g} s")
        return
    for problem in remote.warnings():
        yield Finding("remote", Level.WARN, problem.claim, tuple(problem.facts), problem.hint)
        return
    empty = [name for name in (config.token_env, config.secret_env) if name and not environ.get(name)]
    facts = (f"empty: {listing(empty)}",) if empty else ()
    use = "reads and writes" if remote.writes else "only reads"
    yield Finding("remote", Level.OK, f"{remote.name} answers; a build {use}", facts)


async def _asked(remote: cache.Remote) -> None:
    async with asyncio.timeout(_PATIENCE_S), remote:
        await remote.find(["0" * 64], ())


def _account(
    project: Project | None, chosen: provider.Provider | None, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Look at the key, and ask the service about it with a call that costs nothing."""
    needed = project is not None and project.config.provider == DashScopeProvider.name
    level = Level.FAIL if needed else Level.WARN
    try:
        key = find_key(environ)
    except ProviderError as error:
        if needed or project is None:
            yield failed("key", error, level)
        else:
            yield Finding("key", Level.OK, f"none; the provider {project.config.provider} needs none")
        return
    yield _key(key)
    try:
        if isinstance(chosen, DashScopeProvider):
            endpoint = chosen.endpoint
        else:
            table = project.config.providers.get(DashScopeProvider.name, {}) if project else {}
            endpoint = find_endpoint(table, environ)
        answer = asyncio.run(_listed(endpoint, key))
    except QwenbuildError as error:
        offline = isinstance(error, Unreachable) and error.code != "TLS"
        yield failed("service", error, Level.WARN if offline else level)
        return
    except TimeoutError:
        yield Finding("service", Level.WARN, f"{endpoint.host} did not answer within {_PATIENCE_S:g} s")
        return
    yield Finding("service", Level.OK, f"{endpoint.host} takes the key; region {endpoint.region}")
    if answer.ahead_s is not None:
        yield _clock(answer.ahead_s)


def _key(key: ApiKey) -> Finding:
    if not key.reveal().startswith("sk-"):
        hint = "copy the API key, not the account's AccessKey"
        return Finding("key", Level.WARN, f"the one from {key.origin} does not begin with sk-, as keys do", hint=hint)
    if os.name == "posix" and os.path.isfile(key.origin) and os.stat(key.origin).st_mode & 0o077:
        return Finding(
            "key", Level.WARN, f"others on this machine may read {key.origin}", hint=f"chmod 600 {key.origin}"
        )
    return Finding("key", Level.OK, f"from {key.origin}")


async def _listed(endpoint: Endpoint, key: ApiKey) -> wire.Answer:
    """Return the first page of the account's tasks. Raises ProviderError, UsageError, TimeoutError."""
    from qwenbuild.providers.dashscope.http import Service

    async with asyncio.timeout(_PATIENCE_S), Service(endpoint, key, _PATIENCE_S) as service:
        return await service.ask("GET", wire.LIST_PATH, wire.list_query(1, 1))


def _clock(ahead_s: float) -> Finding:
    """Judge this machine's clock, which the service's is ahead of by `ahead_s`."""
    if abs(ahead_s) <= _SKEW_S:
        return Finding("clock", Level.OK, "agrees with the service's")
    way = "behind" if ahead_s > 0 else "ahead of"
    hint = "let it be set by the network: timedatectl set-ntp true"
    return Finding("clock", Level.WARN, f"is {abs(ahead_s):,.0f} s {way} the service's", hint=hint)
