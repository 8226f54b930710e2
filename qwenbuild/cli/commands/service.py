"""The commands of the service, and of the local one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.cli.arguments import engine_of, json_option, region_option
from qwenbuild.errors import QwenbuildError
from qwenbuild.problems import visible
from qwenbuild.terminal import console, style

if TYPE_CHECKING:
    from qwenbuild.engine.engine import Engine


@click.group(invoke_without_command=True, short_help="List what is in flight at the service, or cancel it.")
@region_option
@click.option(
    "--status",
    type=click.Choice(["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED"], case_sensitive=False),
    metavar="STATUS",
    help="Only the account's tasks of this status, such as PENDING.",
)
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
        engine = _engine(ctx.obj, region)
        in_flight = engine.in_flight()
        try:
            listed = engine.account_tasks(status or "")
        except QwenbuildError:  # no key, no network: what is on record here is known all the same
            if in_flight and not status:
                console.show_tasks(in_flight, (), whole=True, as_json=as_json)
            raise
        console.show_tasks(in_flight, listed, whole=not status, as_json=as_json)


@tasks.command()
@click.argument("task_id", nargs=-1, required=True)
@region_option
@click.pass_obj
def cancel(project: Path, /, task_id: tuple[str, ...], region: str | None) -> None:
    """Cancel tasks that are still PENDING; running ones can't be cancelled.

    \b
    qwenbuild tasks cancel TASK_ID TASK_ID

    Tries each, and exits 1 where one could not be cancelled.
    """
    ended = _engine(project, region).cancel_tasks(task_id)
    for name, error in ended.items():
        if error is None:
            click.echo(f"{'cancelled':>10}  {visible(name)}")
        else:
            style.problems(error.problems)
    sys.exit(1 if any(ended.values()) else 0)


def _engine(project: Path, region: str | None) -> Engine:
    """Return an engine whose provider has tasks."""
    engine = engine_of(project)
    from qwenbuild.engine.tasks import engine_with_tasks  # here, because `--help` needs no engine

    return engine_with_tasks(engine, region)


@click.command(short_help="Run a local DashScope, for offline work and CI.")
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

    from qwenbuild.emulator import server

    if explain:
        click.echo(server.FAULT_HELP)
        return
    options = server.EmulatorOptions(**choices)
    asyncio.run(server.serve(options, _emulator_started, _emulator_stopped))


def _emulator_started(base_url: str) -> None:
    """Write how to reach an emulator."""
    from qwenbuild.emulator.server import environment

    click.echo(f"DashScope emulator at {base_url}", err=True)
    for name, value in environment(base_url).items():
        click.echo(f"export {name}={value}")
    click.echo("Ctrl-C stops it.", err=True)
    sys.stdout.flush()


def _emulator_stopped(bill: Mapping[str, Any]) -> None:
    """Write what an emulator would have billed."""
    click.echo(f"billed: {json.dumps({k: v for k, v in bill.items() if k != 'records'}, ensure_ascii=False)}", err=True)
