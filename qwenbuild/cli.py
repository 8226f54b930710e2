"""The command line: reads arguments into `Options` and lets the engine work; a client of the Python API.

Exit codes: 0 all there, 1 some images failed, 2 usage or spec error, 3 a lock or verification
mismatch, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from . import __version__, console
from .arguments import Age, Bytes, Commands, Money, json_option, provider, selection
from .errors import Problem, QwenbuildError, UsageError, visible


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
@selection
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Render N images at once.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first image that fails (default: go on).")
@click.option("--force", is_flag=True, help="Render the selected images again, and pay again.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that were edited by hand.")
@click.option("--max-cost", type=Money(), metavar="CNY", help="Stop before the first request that would pass this.")
@click.option("--detach", is_flag=True, help="Submit and leave; a later build collects (--interface async).")
@provider
@json_option
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
    from . import progress

    view = progress.view(as_json)
    arguments = None if as_json else sys.argv[1:] or ["build"]
    try:
        finished = _engine(project, **choices).build(view.emit, arguments=arguments)
    finally:
        view.close()
    sys.exit(finished.exit_code)


@main.command(short_help="Follow the files: a save shows its effect at once, and costs nothing.")
@selection
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="PORT",
              help="Where the page is served (default: any free port).")  # fmt: skip
@click.option("--no-preview", "preview", flag_value=False, default=True, help="Serve no page.")
@click.option("--auto", is_flag=True, help="Render for money by itself, within the budget.")
@click.option("--max-cost", type=Money(), metavar="CNY", help="Most that this watch may spend.")
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Render N images at once.")
@provider
@json_option
@click.pass_obj
def watch(
    project: Path, /, open_page: bool, port: int, preview: bool, auto: bool, as_json: bool, **choices: Any
) -> None:
    """Follow specs, templates and data; plan again at each save, and show images on a page.

    \b
    qwenbuild watch --open
    qwenbuild watch puppies/poster -w seed=1
    qwenbuild watch --auto --max-cost 5

    What is free is built at once. Where renders cost money, a save makes drafts, which never
    touch out/; the real images are rendered when asked for, by `r` or on the page. `q` leaves.
    """
    import asyncio

    from . import watching

    asked = watching.Choices(auto=auto, preview=preview, open_page=open_page, port=port, as_json=as_json)
    sys.exit(asyncio.run(watching.watch(_engine(project, **choices), asked)))


@main.command()
@selection
@click.option("--force", is_flag=True, help="As `build --force` would.")
@click.option("--overwrite", is_flag=True, help="As `build --overwrite` would.")
@click.option("--all", "every", is_flag=True, help="List what is up to date, too.")
@provider
@json_option
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


@main.command(short_help="Tell how each image's outputs stand, and how the last build ended.")
@selection
@provider
@json_option
@click.pass_obj
def status(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Tell how the project stands: each image's outputs by verdict, and the last build.

    \b
    qwenbuild status
    qwenbuild status puppies
    """
    engine = _engine(project, **choices)
    console.show_status(engine.plan(), engine.last_run(), as_json=as_json)


@main.command(short_help="Print the provenance that an image carries.")
@click.argument("image", type=click.Path(path_type=Path))
@json_option
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
@selection
@click.option("--orphans", is_flag=True, help="Only outputs that no spec declares any more.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be removed; remove nothing.")
@click.pass_obj
def clean(project: Path, /, orphans: bool, dry_run: bool, **choices: Any) -> None:
    """Remove outputs that qwenbuild wrote. The store keeps their bytes, so a build restores them.

    \b
    qwenbuild clean --orphans --dry-run
    qwenbuild clean puppies -w seed=1

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
@click.option("--older-than", type=Age(), metavar="AGE", help="Entries that no build used for this long: 30d, 12h.")
@click.option(
    "--max-size", type=Bytes(), metavar="SIZE", help="The least recently used, until the store is this small."
)
@click.option("--unreferenced", is_flag=True, help="Entries that no project's present outputs come from.")
@click.option("--used", is_flag=True, help="Also entries that projects' present outputs come from.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be removed; remove nothing.")
def gc(older_than: float | None, max_size: int | None, unreferenced: bool, used: bool, dry_run: bool) -> None:
    """Remove rendered images from the store that all projects share. What is removed must be paid for again.

    \b
    qwenbuild gc                                only what crashes left over
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


@main.command(short_help="Write a page of all images that opens from disk, to look at and to hand on.")
@selection
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Where to write it (default: .qwenbuild/report).")  # fmt: skip
@click.option("--open", "show_page", is_flag=True, help="Open it in the browser.")
@provider
@click.pass_obj
def report(project: Path, /, output: Path | None, show_page: bool, **choices: Any) -> None:
    """Write a page that shows every cell: image or what is missing, prompt, provenance, price.

    \b
    qwenbuild report --open
    qwenbuild report puppies -w seed=1 -o public

    Static files: they open from disk and from any web server. Spends nothing.
    """
    written = _engine(project, **choices).report(output)
    click.echo(f"{'wrote':>10}  {written.index}  ({written.cells:,} cells, {console.byte_size(written.size_bytes)})")
    if show_page:
        click.launch(written.index.absolute().as_uri())


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write a small project into FOLDER (default: here), ready to build.

    \b
    qwenbuild init posters
    cd posters && qwenbuild build
    """
    from . import scaffold

    for name in scaffold.write(folder):
        click.echo(f"{'wrote':>10}  {folder / name}")
    into = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"next: {into}qwenbuild build")


@main.command(short_help="Print the JSON Schema of specs, or of the config.")
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


@main.group(invoke_without_command=True, short_help="List what is in flight at the service, or cancel it.")
@click.option("--region", metavar="REGION", help="The service's region: singapore or beijing.")
@click.option("--status", metavar="STATUS", help="Only tasks of this status, such as PENDING.")
@json_option
@click.pass_context
def tasks(ctx: click.Context, region: str | None, status: str | None, as_json: bool) -> None:
    """List this project's submissions in flight, and the account's tasks of the last 24 hours.

    \b
    qwenbuild tasks
    qwenbuild tasks --status PENDING
    qwenbuild tasks cancel TASK_ID

    Asks the service; needs its API key. What is in flight is collected by the next build.
    """
    if ctx.invoked_subcommand is None:
        engine = _engine(ctx.obj, provider="dashscope", region=region)
        console.show_tasks(engine.in_flight(), engine.account_tasks(status or ""), as_json=as_json)


@tasks.command()
@click.argument("task_id", nargs=-1, required=True)
@click.option("--region", metavar="REGION", help="The service's region: singapore or beijing.")
@click.pass_obj
def cancel(project: Path, /, task_id: tuple[str, ...], region: str | None) -> None:
    """Cancel tasks that are still PENDING; running ones can't be cancelled."""
    _engine(project, provider="dashscope", region=region).cancel_tasks(task_id)
    for name in task_id:
        click.echo(f"{'cancelled':>10}  {visible(name)}")


@main.command(short_help="Run a local DashScope, for offline work and CI.")
@click.option("--port", type=click.IntRange(0, 65535), default=8766, metavar="PORT", show_default=True,
              help="0 takes any free port.")  # fmt: skip
@click.option("--host", default="127.0.0.1", metavar="HOST", show_default=True, help="Where to listen.")
@click.option("--latency", "latency_s", type=click.FloatRange(0), default=0.5, metavar="SECONDS", show_default=True,
              help="How long a render takes.")  # fmt: skip
@click.option("--images", type=click.Choice(["draft", "null"]), default="draft", show_default=True,
              help="What draws the images.")  # fmt: skip
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Inject a fault; repeatable. See --faults.")
@click.option("--seed", type=int, default=0, metavar="N", help="Makes the same faults fire again.")
@click.option("--limits", type=click.FloatRange(0), default=1.0, metavar="FACTOR", show_default=True,
              help="Scales the service's rate limits; 0 lifts them.")  # fmt: skip
@click.option("--region", type=click.Choice(["singapore", "beijing"]), default="singapore", show_default=True,
              help="Whose keys are taken, and whose prices are charged.")  # fmt: skip
@click.option("--faults", "explain", is_flag=True, help="Explain the notation of faults.")
def emulator(explain: bool, **choices: Any) -> None:
    """Run a local DashScope: both interfaces, tasks, limits, errors and a bill; nothing leaves this machine.

    \b
    qwenbuild emulator
    qwenbuild emulator --fault throttle:20% --fault drop-after:sync:1

    Point qwenbuild, or the vendor's SDK, at it with the variables that it prints. The page at its
    address shows what it would have billed.
    """
    import asyncio

    from . import emulator as emulation

    if explain:
        click.echo(emulation.FAULT_HELP)
        return
    options = emulation.EmulatorOptions(**choices)
    asyncio.run(emulation.serve(options, console.emulator_started, console.emulator_stopped))


def _engine(project: Path, **choices: Any) -> Any:
    from .engine import load

    return load(project, **{name: value for name, value in choices.items() if value is not None})


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; errors become text here and nowhere else."""
    stdout = sys.stdout
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
        if sys.stdout is not stdout:  # click's answer to a reader that left, which it takes for a failure
            return _unwritable(BrokenPipeError())
        return leave.code if isinstance(leave.code, int) else 0
    except OSError as error:
        if error.filename is not None:  # not of a standard stream
            raise
        return _unwritable(error)
    return 0


def _unwritable(error: OSError) -> int:
    """Tell that standard output can't be written, but for a reader that left; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at exit
    if isinstance(error, BrokenPipeError):
        return 128 + 13  # as a command that SIGPIPE ends
    console.problems([Problem(f"standard output can't be written: {error.strerror or error}")])
    return 1


def _usage(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` lists what it takes" if context else None
