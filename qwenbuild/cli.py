"""The command line: reads arguments into `Options` and lets the engine work; a client of the Python API.

Exit codes: 0 all there, 1 some images failed, 2 usage or spec error, 3 a lock or verification
mismatch, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from . import __version__, console
from .errors import ProjectError, QwenbuildError, UsageError, did_you_mean, visible

_F = TypeVar("_F", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class _Commands(click.Group):
    """A group whose default command is `build`, and which knows near names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = 0
        while at < len(args) and args[at] in ("-C", "--project"):
            at += 2
        while at < len(args) and args[at].startswith("--project="):
            at += 1
        if at >= len(args) or (args[at].startswith("-") and args[at] not in ("--help", "-h", "--version")):
            args = [*args[:at], "build", *args[at:]]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if self.get_command(ctx, name) is None:
            near = did_you_mean(name, self.list_commands(ctx)) or f"to build an image: qwenbuild build {name}"
            raise UsageError(f'no command "{visible(name)}"', hint=near)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of their definition: the daily ones first


class _Money(click.ParamType[Decimal]):
    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal(-1)
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value} is not an amount such as 5 or 2.50")
        return amount


class _Age(click.ParamType[float]):
    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", str(value))
        if not match:
            self.fail(f"{value} is not an age such as 30d, 12h or 2w")
        return float(match[1]) * _UNITS[match[2]]


class _Bytes(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", str(value), re.IGNORECASE)
        if not match:
            self.fail(f"{value} is not a size such as 500MB or 20GB")
        return int(float(match[1]) * _BYTES[match[2].upper()])


def _selection(function: _F) -> _F:
    function = click.option(
        "-w", "--where", multiple=True, metavar="AXIS=GLOB",
        help='Only cells whose axis matches, such as -w seed=1 or -w "palette=sun*". Repeatable.',
    )(function)  # fmt: skip
    return click.argument("select", nargs=-1, metavar="[SELECT]...")(function)


def _provider(function: _F) -> _F:
    for option in reversed((
        click.option("--provider", metavar="NAME", help="Render with this provider instead of the project's."),
        click.option("--region", metavar="REGION", help="The service's region: singapore or beijing."),
        click.option("--interface", metavar="KIND", help="The service's interface: sync or async."),
        click.option("--resubmit", is_flag=True, default=None,
                     help="Send again what may have been billed before; its price counts."),
        click.option("--max-renders", type=click.IntRange(0), metavar="N",
                     help="Most new renders allowed (default 10000)."),
    )):  # fmt: skip
        function = option(function)
    return function


def _json_option(function: _F) -> _F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for scripts.")(function)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "--project", type=click.Path(path_type=Path), default=Path(), metavar="DIR",
              help="Work on the project in DIR instead of the one around here.")  # fmt: skip
@click.version_option(__version__, message="qwenbuild %(version)s")
@click.pass_context
def main(ctx: click.Context, project: Path) -> None:
    """make for images: specs in, Qwen-Image renders out, nothing rendered twice.

    \b
    qwenbuild                    build what is missing or out of date
    qwenbuild plan               what a build would do, why, and what it costs
    qwenbuild build puppies      one spec; also spec/image, a cell's name, out/x.png
    qwenbuild build -w seed=1    only some cells
    qwenbuild init posters       a new project to start from

    Without a command, `build` runs.
    """
    ctx.obj = project
    ctx.color = console.coloured(sys.stdout)


@main.command()
@_selection
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Render N images at once.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first image that fails (default: go on).")
@click.option("--force", is_flag=True, help="Render the selected images again, and pay again.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that were edited by hand.")
@click.option("--max-cost", type=_Money(), metavar="CNY", help="Stop before the first request that would pass this.")
@click.option("--detach", is_flag=True, help="Submit and leave; a later build collects (--interface async).")
@_provider
@_json_option
@click.pass_obj
def build(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Render what is missing or out of date, and nothing else.

    \b
    qwenbuild build                            everything
    qwenbuild build puppies/poster -w seed=1   some cells of one image
    qwenbuild build --provider draft           typeset drafts, for free
    qwenbuild build --force -w seed=7          roll the dice again
    qwenbuild build --provider dashscope --max-cost 5

    SELECT names specs, images, cells or outputs; none selects everything. Edited files are kept,
    equal requests render once, and one image's failure does not stop the others.
    """
    view = console.view(as_json)
    try:
        finished = _engine(project, **choices).build(view.emit, arguments=None if as_json else sys.argv[1:])
    finally:
        view.close()
    sys.exit(finished.exit_code)


@main.command()
@_selection
@click.option("--force", is_flag=True, help="As `build --force` would.")
@click.option("--overwrite", is_flag=True, help="As `build --overwrite` would.")
@click.option("--all", "every", is_flag=True, help="List what is up to date, too.")
@_provider
@_json_option
@click.pass_obj
def plan(project: Path, /, every: bool, as_json: bool, **choices: Any) -> None:
    """Tell what a build would do, and why. Changes nothing and spends nothing.

    \b
    qwenbuild plan                          what is not up to date
    qwenbuild plan --provider dashscope     what the real thing would cost
    qwenbuild plan --json | jq -r 'select(.verdict == "render").name'
    """
    planned = _engine(project, **choices).plan()
    if as_json:
        for step in planned.steps:
            click.echo(json.dumps(console.step_dict(step), ensure_ascii=False))
        for orphan in planned.orphans:
            table = {"event": "orphan", "path": orphan.path, "name": orphan.name, "edited": orphan.edited}
            click.echo(json.dumps(table, ensure_ascii=False))
        click.echo(json.dumps(console.plan_summary(planned)))
    else:
        console.show_plan(planned, every=every)


@main.command()
@_selection
@_provider
@_json_option
@click.pass_obj
def status(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Tell how the project stands: each image's outputs by verdict, and the last build."""
    engine = _engine(project, **choices)
    console.show_status(engine.plan(), engine.last_run(), as_json=as_json)


@main.command()
@click.argument("image", type=click.Path(path_type=Path))
@_json_option
def show(image: Path, as_json: bool) -> None:
    """Print the provenance that IMAGE.png carries: its request, model, seed and key.

    \b
    qwenbuild show out/puppies/poster-1.png
    qwenbuild show --json out/puppies/poster-1.png | jq .request.prompt
    """
    from .png import read_provenance_file

    try:
        provenance = read_provenance_file(image)
    except OSError as error:
        raise UsageError(f"{image} can't be read: {error.strerror or error}") from error
    if provenance is None:
        raise UsageError(f"{image} carries no provenance", hint="only images that qwenbuild made do")
    if as_json:
        click.echo(json.dumps(provenance, ensure_ascii=False))
    else:
        console.show_provenance(provenance)


@main.command()
@_selection
@click.option("--orphans", is_flag=True, help="Only outputs that no spec declares any more.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be removed; remove nothing.")
@click.pass_obj
def clean(project: Path, /, orphans: bool, dry_run: bool, **choices: Any) -> None:
    """Remove outputs that qwenbuild wrote. The store keeps their bytes, so a build restores them.

    Files that were edited by hand, and files that qwenbuild did not write, are kept.
    """
    result = _engine(project, **choices).clean(orphans_only=orphans, dry_run=dry_run)
    removed = [path for path, done in result if done]
    for path, done in result:
        if not done:
            click.echo(f"{console.label('edited')}  {visible(path)}  kept")
        elif dry_run:
            click.echo(f"{'would remove':>10}  {visible(path)}")
    if not dry_run:
        click.echo(f"{len(removed):,} outputs removed" if removed else "nothing to remove")


@main.command()
@click.option("--older-than", type=_Age(), metavar="AGE", help="Entries that no build used for this long: 30d, 12h.")
@click.option(
    "--max-size", type=_Bytes(), metavar="SIZE", help="The least recently used, until the store is this small."
)
@click.option("--unreferenced", is_flag=True, help="Entries that no project's present outputs come from.")
@click.option("--used", is_flag=True, help="Also entries that projects' present outputs come from.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be removed; remove nothing.")
def gc(older_than: float | None, max_size: int | None, unreferenced: bool, used: bool, dry_run: bool) -> None:
    """Remove rendered images from the store that all projects share. What is removed must be paid for again.

    \b
    qwenbuild gc                                how large the store is
    qwenbuild gc --unreferenced --older-than 30d --dry-run
    qwenbuild gc --max-size 20GB

    Criteria narrow each other. Without --used, what a project's outputs come from is kept.
    """
    from .engine import collect_garbage

    planned, done = collect_garbage(
        os.environ, older_than_s=older_than, max_bytes=max_size, unreferenced=unreferenced,
        spare_referenced=not used, dry_run=dry_run,
    )  # fmt: skip
    console.show_garbage(planned, done)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write a small project into FOLDER (default: here), ready to build."""
    from . import scaffold

    for name in scaffold.write(folder):
        click.echo(f"{'wrote':>10}  {folder / name}")
    into = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"next: {into}qwenbuild build")


@main.command()
@click.argument("which", type=click.Choice(["spec", "config"]), default="spec")
def schema(which: str) -> None:
    """Print the JSON Schema of the spec format (or of the config), for editors.

    \b
    qwenbuild schema > specs/spec.schema.json

    A spec that starts with `#:schema ./spec.schema.json` completes in editors with Taplo or
    Tombi, such as VS Code (Even Better TOML) and Zed.
    """
    from . import project, spec

    table = spec.schema() if which == "spec" else project.schema()
    click.echo(json.dumps(table, indent=2, ensure_ascii=False))


def _engine(project: Path, **choices: Any) -> Any:
    from .engine import load

    return load(project, **{name: value for name, value in choices.items() if value is not None})


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; errors become text here and nowhere else."""
    try:
        main.main(args=arguments, prog_name="qwenbuild", standalone_mode=False)
    except QwenbuildError as error:
        console.problems(error.problems)
        return error.exit_code
    except click.ClickException as error:
        problem = UsageError(error.format_message(), hint=_usage(error))
        console.problems(problem.problems)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is flushed into it at exit
        return 141
    return 0


def _usage(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` lists what it takes" if context else None


__all__ = ["ProjectError", "main", "run"]
