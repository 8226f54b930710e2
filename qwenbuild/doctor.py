"""What of a user's environment would keep qwenbuild from working, and what to do about each thing.

Invariants: nothing is changed and nothing is spent: the service and the remote are asked for what costs nothing.
No finding holds the API key or a token. Every check gives findings, never an exception: what can't be
examined is a finding too. A failing finding must be fixed before the project can be built as it is
configured; a warning may stay.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Final

from . import __version__, atomicfile, collect, glyphs, provider, spec, wire
from .credentials import ApiKey, Endpoint, find_endpoint, find_key
from .dashscope import DashScopeProvider
from .errors import ProjectError, ProviderError, QwenbuildError, StateError, Unreachable, UsageError
from .project import CONFIG_NAME, Project, find
from .state import State
from .store import Store, default_root

_LITTLE_BYTES: Final = 10**9  # free on the store's disk: some hundred images
_NONE_BYTES: Final = 50 * 10**6
_SKEW_S: Final = 60.0  # of this machine's clock; lost tasks are matched by time, certificates have one too
_PATIENCE_S: Final = 15.0  # with whoever is asked over the network
_GIT_S: Final = 10.0
_REQUIREMENT: Final = re.compile(r"([\w.-]+)(?:\[.*?\])? *(?:(>=|==) *([\d.]+))?")
_SCHEMA: Final = re.compile(r"#:schema +(\S+)")


class Level(StrEnum):
    """How a finding stands: all right, worth a look, to be fixed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one `subject`: a claim, facts that support it, and what to do, as errors have them."""

    subject: str
    level: Level
    claim: str
    facts: tuple[str, ...] = ()
    hint: str | None = None


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
        yield _failed("project", error)
    yield from _store(Store(default_root(environ)), project)
    chosen = None
    if project:
        try:
            name = project.config.provider
            table = project.config.providers.get(name, {})
            chosen = provider.create(name, provider.Settings(table, project.catalogue, environ))
            yield Finding("provider", Level.OK, name)
        except QwenbuildError as error:
            yield _failed("provider", error)
        yield from _folders(project)
        yield _schemas(project)
        yield from _git(project)
    yield from _account(project, chosen, environ)


def _failed(subject: str, error: QwenbuildError, level: Level = Level.FAIL) -> Finding:
    first, *more = error.problems
    where = (f"at {first.place}",) if first.place else ()
    others = (f"{len(more)} more mistakes; `qwenbuild plan` shows them all",) if more else ()
    return Finding(subject, level, first.claim, (*where, *first.facts, *others), first.hint)


# --- the installation ---


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
    broken = glyphs.broken_fonts()
    if broken:
        hint = f"{sys.executable} -m pip install --force-reinstall justmytype-intl-cjk"
        return Finding("fonts", Level.FAIL, "the fonts of drafts can't be used", tuple(broken), hint)
    return Finding("fonts", Level.OK, "those of drafts are there")


# --- the store, and the project's folders ---


def _store(store: Store, project: Project | None) -> Iterator[Finding]:
    """Look at the store: whether it can be written, what it holds, what room is left, how bytes come into `out/`."""
    try:
        place = _written(store.root)
    except OSError as error:
        yield _failed("store", store.failure(error, "written"))
        return
    try:
        held = collect.plan_gc(store)
    except QwenbuildError as error:
        yield _failed("store", error)
    else:
        size = f"{held.kept_entries:,} images, {held.kept_bytes / 1e6:,.0f} MB"
        told = size if store.root.exists() else "not there yet; the first build makes it"
        spare = len(held.removals)
        facts = (f"{spare:,} files that are of no use; `qwenbuild gc` removes them",) if spare else ()
        yield Finding("store", Level.OK, f"{store.root}: {told}", facts)
    free = shutil.disk_usage(place).free
    level = Level.FAIL if free < _NONE_BYTES else Level.WARN if free < _LITTLE_BYTES else Level.OK
    hint = "make room, or run `qwenbuild gc --unreferenced`" if level is not Level.OK else None
    shares = project is not None and _shares(place, project)
    how = "; out/ shares the store's bytes" if shares else "; out/ holds copies of the store's" if project else ""
    yield Finding("disk", level, f"{free / 1e9:,.1f} GB free{how}", hint=hint)


def _written(folder: Path) -> Path:
    """Return `folder`, or the nearest one above that is there, after writing a file to it. Raises OSError."""
    place = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(b"qwenbuild")
    return place


def _shares(store: Path, project: Project) -> bool:
    try:
        return atomicfile.shares(store, next(path for path in (project.out, project.root) if path.is_dir()))
    except OSError:
        return False


def _folders(project: Project) -> Iterator[Finding]:
    """Look whether what a build writes can be written, and whether what earlier ones wrote can be read."""
    for folder in (project.out, project.state_dir):
        try:
            _written(folder)
        except OSError as error:
            claim = f"{project.shown(folder)}/ can't be written: {error.strerror or error}"
            yield Finding("project", Level.FAIL, claim, hint="set its permissions, or move what is in its place")
    try:
        with closing(State(project.state_dir / "state.sqlite3", create=False)) as state:
            waiting, images = len(state.open_submissions()), len(state.outputs())
    except StateError as error:
        yield _failed("state", error)
        return
    facts = (f"{waiting:,} requests are in flight; the next build collects them",) if waiting else ()
    yield Finding("state", Level.OK, f"{images:,} outputs on record" if images else "nothing was built yet", facts)


def _schemas(project: Project) -> Finding:
    """Look whether the schemas that specs name for editors are there, and are this version's."""
    named = set()
    for path in project.spec_paths():
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                match = _SCHEMA.match(file.readline(1000))
        except OSError:
            continue  # `plan` tells of a spec that can't be read
        if match and "://" not in match[1]:
            named.add(path.parent / match[1])
    wrong = sorted(path for path in named if not _is_current(path))
    if wrong:
        shown = project.shown(Path(os.path.abspath(wrong[0])))
        claim = f"{shown} is {'of another version' if wrong[0].is_file() else 'missing'}: editors mislead"
        return Finding("schema", Level.WARN, claim, hint=f"qwenbuild schema > {shown}")
    return Finding("schema", Level.OK, "current" if named else "no spec names one; `qwenbuild schema` writes it")


def _is_current(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text("utf-8")) == spec.schema())
    except (OSError, ValueError, RecursionError):
        return False


def _git(project: Project) -> Iterator[Finding]:
    """Look whether git ignores what is derived, and keeps what is to be committed."""
    if _asked(project, "rev-parse", "--is-inside-work-tree") is None:
        return
    out = project.config.out

    def ignored(path: str) -> bool:
        return _asked(project, "check-ignore", "--quiet", "--no-index", "--", path) is not None

    derived = ".qwenbuild/state.sqlite3"
    if not ignored(derived):
        claim = ".qwenbuild/ is not ignored: it is this machine's alone"
        yield Finding("git", Level.WARN, claim, hint="add the line .qwenbuild/ to .gitignore")
    if not ignored(f"{out}/image.png") and not _asked(project, "ls-files", "--", out) and project.out.is_dir():
        claim = f"{out}/ is neither ignored nor committed"
        hint = f"add {out}/ to .gitignore, or commit the images, with Git LFS where there are many"
        yield Finding("git", Level.WARN, claim, hint=hint)
    elif ignored(derived):
        kept = "ignored" if ignored(f"{out}/image.png") else "committed"
        yield Finding("git", Level.OK, f".qwenbuild/ is ignored, {out}/ is {kept}")


def _asked(project: Project, *arguments: str) -> str | None:
    """Return what git says in the project's folder; None where it says no, or there is no git."""
    try:
        command = ["git", "-C", str(project.root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None


# --- the service ---


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
            yield _failed("key", error, level)
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
        yield _failed("service", error, Level.WARN if offline else level)
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
    from .service import Service

    async with asyncio.timeout(_PATIENCE_S), Service(endpoint, key, _PATIENCE_S) as service:
        return await service.ask("GET", wire.LIST_PATH, wire.list_query(1, 1))


def _clock(ahead_s: float) -> Finding:
    """Judge this machine's clock, which the service's is ahead of by `ahead_s`."""
    if abs(ahead_s) <= _SKEW_S:
        return Finding("clock", Level.OK, "agrees with the service's")
    way = "behind" if ahead_s > 0 else "ahead of"
    hint = "let it be set by the network: timedatectl set-ntp true"
    return Finding("clock", Level.WARN, f"is {abs(ahead_s):,.0f} s {way} the service's", hint=hint)
