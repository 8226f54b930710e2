"""The doctor: examines a machine and a project, and says what keeps builds from working.

Invariants: nothing is changed and nothing is billed. No finding holds an API key or a token. A check
never raises: what can't be examined becomes a finding too.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProjectError, QwenbuildError, UsageError
from qwenbuild.finding import Finding, Level
from qwenbuild.options import Options
from qwenbuild.own_servers import serves_any_model
from qwenbuild.problems import listing
from qwenbuild.provider import Provider, Settings, broken, diagnosable
from qwenbuild.providers import registry
from qwenbuild.routes import Routes
from qwenbuild.specs import user_config
from qwenbuild.specs.project import Project, find
from qwenbuild.specs.reader import Reader
from qwenbuild.state_folder import CONFIG
from qwenbuild.storage import lock
from qwenbuild.storage.remote.cache import Remote
from qwenbuild.storage.remote.settings import asks, make_remote
from qwenbuild.storage.store import Store
from qwenbuild.storage.store_place import default_root
from qwenbuild.version import __version__

from . import custody, routing
from .checkup import of_ledger, of_project, of_store, outputs

_PATIENCE_S: Final = 15.0  # longest wait for the remote cache
_REQUIREMENT: Final = re.compile(r"([\w.-]+)(?:\[.*?\])? *(?:(>=|==) *([\d.]+))?")


def examine(start: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about this machine and about the project that contains the folder `start`, if any.

    Each finding is yielded as soon as its check ends. Raises UsageError if `start` does not exist.
    """
    if not start.is_dir():
        raise UsageError(f"no such folder: {start}", name="no-such-file")
    yield from _installation()
    project = None
    try:
        project = find(start, environ)
        yield Finding("project", Level.OK, str(project.root))
    except UsageError:
        yield Finding("project", Level.OK, f"none here: no {CONFIG} in this folder or above")
    except ProjectError as error:
        yield Finding.of_error("project", error)
    yield from _user_config()
    yield from of_store(environ, project)
    yield from of_ledger(environ)
    chosen = None
    if project:
        try:
            routes = routing.routes_of(project, Options(), environ)
            chosen = routes.default
            yield Finding("provider", Level.OK, project.config.provider)
            yield _specs(project, routes)
        except QwenbuildError as error:
            yield Finding.of_error("provider", error)
        yield from of_project(project)
        yield from _images(project, chosen, environ)
        yield from _remote(project, environ)
    yield from _providers(project, chosen, environ)


def _user_config() -> Iterator[Finding]:
    """Check the user's own config, if there is one."""
    path = user_config.path()
    try:
        own = user_config.read()
    except ProjectError as error:
        yield Finding.of_error("config", error)
        return
    if path and path.exists():
        sole = [name for name, said in own.providers.items() if said.sole_user]
        facts = (f"only qwenbuild on this machine uses the accounts of: {listing(sole)}",) if sole else ()
        yield Finding("config", Level.OK, str(path), facts)


def _provider(name: str, project: Project | None, environ: Mapping[str, str]) -> Provider:
    """Return the provider `name` with the project's settings for it. Raises QwenbuildError."""
    if project is None:
        return registry.create(name, Settings({}, builtin(), environ))
    table = project.config.providers.get(name, {})
    return registry.create(name, Settings(table, project.catalogue, environ, trust=project.trust, root=project.root))


def _specs(project: Project, routes: Routes) -> Finding:
    """Read what a build reads: specs, templates and data files."""
    reader = Reader(project, routes, None, project.config.max_renders)
    try:
        actions, _ = reader.actions(map(lock.counts, [project.root / lock.NAME]))
    except QwenbuildError as error:
        return Finding.of_error("specs", error)
    return Finding("specs", Level.OK, f"{outputs(len(actions))} declared")


def _images(project: Project, chosen: Provider | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check that the images which the lock pins are here, and not here alone."""
    with contextlib.suppress(QwenbuildError):  # the checks of lock and store report it
        pins = lock.read(project.root / lock.NAME).pins
        if chosen and pins:
            yield from custody.examined(project, chosen, Store(default_root(environ)), pins.values())


def _installation() -> Iterator[Finding]:
    """Compare the installed packages with the requirements of the installed qwenbuild."""
    yield Finding(
        "qwenbuild", Level.OK, f"{__version__} on Python {platform.python_version()}", (f"python: {sys.executable}",)
    )
    try:
        required = metadata.requires("qwenbuild") or []
    except metadata.PackageNotFoundError:
        hint = f"install it: {sys.executable} -m pip install {shlex.quote(str(Path(__file__).parents[2]))}"
        yield Finding(
            "packages", Level.FAIL, "qwenbuild runs from its source, and is not installed", hint=hint, name="packages"
        )
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
        yield Finding(
            "packages", Level.FAIL, "packages are missing or of another version", facts, hint, name="packages"
        )
    else:
        yield Finding("packages", Level.OK, f"all {len(plain)} are installed and fit")


def _unfit(name: str, relation: str | None, wanted: str | None) -> str:
    """Return what is wrong with the package `name`, as the end of a sentence; empty if it fits."""
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


def _remote(project: Project, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check that the remote cache answers, if the project has one."""
    config = project.config.remote
    try:
        project.trust.require(*asks(config))
        remote = make_remote(config, None, environ)
        if remote is None:
            return
        asyncio.run(_ask_for_an_absent_entry(remote))
    except QwenbuildError as error:
        yield Finding.of_error("remote", error)
        return
    except TimeoutError:
        yield Finding(
            "remote", Level.WARN, f"the remote cache did not answer within {_PATIENCE_S:g} s", name="remote-unreachable"
        )
        return
    for problem in remote.warnings():
        yield Finding("remote", Level.WARN, problem.claim, tuple(problem.facts), problem.hint, problem.name)
        return
    empty = [name for name in (config.token_env, config.secret_env) if name and not environ.get(name)]
    facts = (f"empty: {listing(empty)}",) if empty else ()
    use = "reads and writes" if remote.writes else "only reads"
    yield Finding("remote", Level.OK, f"{remote.name} answers; a build {use}", facts)


async def _ask_for_an_absent_entry(remote: Remote) -> None:
    """Ask the remote cache for an entry that can't exist. Raises QwenbuildError, TimeoutError."""
    async with asyncio.timeout(_PATIENCE_S), remote:
        await remote.find(["0" * 64], ())


def _providers(project: Project | None, chosen: Provider | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Ask `chosen`, the project's own provider, and the built-in providers to examine what they need.

    The built-in ones are asked as well, because `--provider` may choose them. One for a server of the user's own needs
    settings: without them it is left out.
    """
    own = project.config.provider if project else None
    if chosen:
        yield from _diagnosed(chosen, own)
    for name in registry.BUILT_IN:
        is_set = project is not None and name in project.config.providers
        if name == own or (serves_any_model(registry.find(name)) and not is_set):
            continue
        try:
            provider = _provider(name, project, environ)
        except QwenbuildError as error:
            yield Finding.of_error(name, error, Level.WARN)
        else:
            yield from _diagnosed(provider, own)


def _diagnosed(provider: Provider, own: str | None) -> Sequence[Finding]:
    """Return the findings of a provider; `own` is the name of the project's provider."""
    examined = diagnosable(provider)
    if examined is None:
        return ()
    try:
        return asyncio.run(examined.diagnose(own))
    except QwenbuildError as error:
        return (Finding.of_error(provider.name, error, Level.FAIL if provider.name == own else Level.WARN),)
    except Exception as error:  # a plugin may raise anything
        return (Finding.of_error(provider.name, broken(provider.name, error)),)
