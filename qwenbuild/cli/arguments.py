"""The parts of the command line that commands share: the default command, value types, common options."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from qwenbuild.errors import UsageError
from qwenbuild.noop_answers import COLOURS, set_colour
from qwenbuild.problems import did_you_mean, listing, visible
from qwenbuild.regions import REGIONS
from qwenbuild.trust import TRUST_ENV

from . import completion
from .startup import loading

if TYPE_CHECKING:
    from qwenbuild.engine.engine import Engine

GIVEN = "qwenbuild.given"
"""The key of a context's `meta` that has the arguments of the command line as they were given."""

_F = TypeVar("_F", bound=Callable[..., Any])

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNITS_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


_OTHER_NAMES = {"why": "explain"}
_BEFORE_COMMANDS = ("-C", "--project", "--color")  # each has a value
_ALONE = ("--help", "-h", "--version", "-V")


class Commands(click.Group):
    """A group of commands whose default is `build`, and which suggests a near name for an unknown command."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name, which may be another name of it."""
        return super().get_command(ctx, _OTHER_NAMES.get(cmd_name, cmd_name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `build` if no command follows `-C DIR` and `--color WHEN`. `meta` keeps the arguments as given."""
        ctx.meta[GIVEN] = list(args)
        at = 0
        while at < len(args) and args[at].startswith(_BEFORE_COMMANDS):
            at += 2 if args[at] in _BEFORE_COMMANDS else 1
        if ctx.resilient_parsing and at >= len(args):  # shell completion: any command may follow
            return super().parse_args(ctx, args)
        if at >= len(args) or (args[at].startswith("-") and args[at] not in _ALONE):
            args = [*args[:at], "build", *args[at:]]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that `args` begins with; raises UsageError if it is unknown."""
        name = args[0]
        if self.get_command(ctx, name) is None:
            near = did_you_mean(name, self.list_commands(ctx))
            hint = near or f"to build an image: qwenbuild build {shlex.quote(name)}"
            raise UsageError(f'no command "{visible(name)}"', hint=hint, name="wrong-command-line")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the completions: commands, or options including those of the default command."""
        items = super().shell_complete(ctx, incomplete)
        if self.callback and incomplete.startswith("-") and (default := self.commands.get("build")):
            known = {item.value for item in items}
            items += [item for item in default.shell_complete(ctx, incomplete) if item.value not in known]
        return items

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order in which they were added."""
        return list(self.commands)


class Money(click.ParamType[Decimal]):
    """An amount of 0 or more, such as `5` or `2.50`."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal(-1)
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value} is not an amount such as 5 or 2.50")
        return amount


class Age(click.ParamType[float]):
    """A time such as `30d` or `12h`, in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", str(value))
        if not match:
            self.fail(f"{value} is not an age such as 30d, 12h or 2w")
        return float(match[1]) * _UNITS_S[match[2]]


class Bytes(click.ParamType[int]):
    """A size such as `500MB` or `20GB`, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", str(value), re.IGNORECASE)
        if not match:
            self.fail(f"{value} is not a size such as 500MB or 20GB")
        return int(float(match[1]) * _UNITS_BYTES[match[2].upper()])


class PathFromProject(click.Path):
    """A path that starts at the folder of `-C`, by default the working folder, as all paths of the command line do."""

    def __init__(self, **choices: Any) -> None:
        super().__init__(path_type=Path, **choices)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        start = ctx.find_root().params.get("project") if ctx else None
        return super().convert((start or Path()) / value, param, ctx)


class Shard(click.ParamType[tuple[int, int]]):
    """A part of a build such as `1/4`, as (number, number of parts); numbers count from 1."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value), re.ASCII)
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= of:
            self.fail(f"{value} is not a shard such as 1/4: the first of four")
        return number, of


def _with(function: _F, *parts: Callable[[_F], _F]) -> _F:
    """Add arguments and options to a command, in the order in which its help shows them."""
    for part in reversed(parts):
        function = part(function)
    return function


def selection(function: _F) -> _F:
    """Add the argument SELECT and the options that narrow the selection."""
    return _with(
        function,
        click.argument("select", nargs=-1, metavar="[SELECT]...", shell_complete=completion.select),
        click.option("-w", "--where", multiple=True, metavar="AXIS=GLOB", shell_complete=completion.where,
                     help='Only cells whose axis matches, such as -w seed=1,2 or -w "palette=sun*"; '
                          "-w axis!=GLOB: only those that do not match. Repeatable."),
        click.option("--tag", "tags", multiple=True, metavar="NAME", shell_complete=completion.tags,
                     help="Only images with this tag. Repeatable: any of the tags."),
        click.option("--exclude", multiple=True, metavar="SELECT", shell_complete=completion.select,
                     help="Leave out what this names; every form of SELECT. Repeatable."),
        click.option("--picked", is_flag=True, help="Only starred cells; see `qwenbuild pick`."),
    )  # fmt: skip


def given(function: _F) -> _F:
    """Add the options that give values from outside: --var and --profile."""
    return _with(
        function,
        click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", shell_complete=completion.variables,
                     help="Give a template variable this value, in TOML; a text needs no quotes. Repeatable."),
        click.option("--profile", metavar="NAME", shell_complete=completion.profiles,
                     help="Use this profile of the config."),
    )  # fmt: skip


def region_option(function: _F) -> _F:
    """Add the option --region."""
    return click.option(
        "--region", metavar="REGION", shell_complete=completion.one_of(*REGIONS),
        help=f"The service's region: {listing(REGIONS)}.",
    )(function)  # fmt: skip


def provider(function: _F) -> _F:
    """Add the options that say who renders what, what may be sent again, and which remote cache is used."""
    return _with(
        function,
        given,
        click.option("--provider", metavar="NAME", shell_complete=completion.providers,
                     help="Render with this provider instead of the project's."),
        region_option,
        click.option("--interface", metavar="KIND", shell_complete=completion.one_of("sync", "async"),
                     help="The service's interface: sync or async."),
        click.option("--resubmit", is_flag=True, default=None,
                     help="Send unknown requests again; they may be billed twice."),
        click.option("--retry-failed", is_flag=True,
                     help="Send again what moderation refused, and what got an image of another size."),
        click.option("--accept-size", is_flag=True,
                     help="Take images that the service made in another size than asked for."),
        click.option("--remote", metavar="URL", help="Use this remote cache instead of the project's."),
        click.option("--no-remote", "remote", flag_value="", help="Use no remote cache."),
        click.option("--max-renders", type=click.IntRange(0), metavar="N",
                     help="Allow at most N new renders (default: 10000)."),
        click.option("--all-errors", is_flag=True,
                     help="Show all mistakes of an image in full, not only the first twenty."),
        trust_option,
    )  # fmt: skip


def _trust(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        os.environ[TRUST_ENV] = "1"


def trust_option(function: _F) -> _F:
    """Add the option --trust-project, which sets the environment variable of the same meaning for this command."""
    return click.option(
        "--trust-project", is_flag=True, expose_value=False, callback=_trust,
        help="Allow all that this project asks for; see `qwenbuild trust`.",
    )(function)  # fmt: skip


def shard_option(function: _F) -> _F:
    """Add the option --shard."""
    return click.option("--shard", type=Shard(), metavar="K/N", help="Only the K-th of N parts, for a CI matrix.")(
        function
    )


def strict_option(function: _F) -> _F:
    """Add the option --strict."""
    return click.option(
        "--strict", is_flag=True, help="Refuse a plan with remarks, such as an axis that changes no request."
    )(function)


def executor_option(function: _F) -> _F:
    """Add the option --executor."""
    return click.option(
        "--executor", metavar="WHERE", help="Do free work there: dask=ADDRESS, dask=local, or local (the default)."
    )(function)


def quiet_option(function: _F) -> _F:
    """Add the option --quiet."""
    return click.option("-q", "--quiet", "is_quiet", is_flag=True, help="Print only errors and warnings.")(function)


def _colour(ctx: click.Context, param: click.Parameter, value: str) -> None:
    set_colour(value)
    at: click.Context | None = ctx
    while at:
        at.color, at = True, at.parent  # click removes no colours: what has some was asked whether it may


def with_colour(command: click.Command) -> None:
    """Add the option --color to a command and to those below it, so that it may stand before and after each."""
    command.params.append(click.Option(
        ["--color"], type=click.Choice(COLOURS), default="auto", metavar="WHEN", expose_value=False, is_eager=True,
        callback=_colour, help="Use colours: auto (on terminals), always or never.",
    ))  # fmt: skip
    for other in command.commands.values() if isinstance(command, click.Group) else ():
        with_colour(other)


def json_option(function: _F) -> _F:
    """Add the option --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for scripts.")(function)


def engine_of(project: Path, **choices: Any) -> Engine:
    """Return the engine of the project around the folder `project`, with those `choices` that are not None."""
    with loading():
        from qwenbuild.engine.engine import load  # imported here because `--help` does not need it

    return load(project, **{name: value for name, value in choices.items() if value is not None})
