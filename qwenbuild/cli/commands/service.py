"""The commands of the service, real or emulated: tasks, emulator."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.errors import QwenbuildError
from qwenbuild.problems import visible
from qwenbuild.regions import REGIONS
from qwenbuild.terminal import style

from .. import completion
from ..arguments import engine_of, given, json_option, region_option, trust_option

if TYPE_CHECKING:
    from qwenbuild.engine.engine import Engine


@click.group(invoke_without_command=True, short_help="List what is in flight at the service, cancel it, or adopt it.")
@region_option
@given
@click.option(
    "--status",
    type=click.Choice(["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED"], case_sensitive=False),
    metavar="STATUS",
    help="Only the account's tasks of this status, such as PENDING.",
)
@json_option
@trust_option
@click.pass_context
def tasks(ctx: click.Context, /, region: str | None, status: str | None, as_json: bool, **choices: Any) -> None:
    """List this project's submissions in flight, and the account's tasks of the last 24 hours.

    \b
    qwenbuild tasks
    qwenbuild tasks --status PENDING
    qwenbuild tasks cancel TASK_ID
    qwenbuild tasks adopt TASK_ID CELL

    Asks the service, so it needs the API key. The next build collects what is in flight. Below a cell whose
    answer was lost stand the tasks that may be its own. If the list proves that the service has no task
    for it, the cell is not billed, and the next build renders it.
    """
    from qwenbuild.engine.tasks import lost_answers, sent
    from qwenbuild.terminal import tasks_view

    if ctx.invoked_subcommand is None:
        engine = _engine(ctx.obj, region, **choices)
        try:
            answers = () if status else lost_answers(engine)
            listed = engine.account_tasks(status or "")
        except QwenbuildError:  # the project's own records need neither key nor network
            if not status and (in_flight := engine.in_flight()):
                tasks_view.show(in_flight, (), list_in_flight=True, as_json=as_json)
            raise
        tasks_view.show(
            engine.in_flight(), listed, list_in_flight=not status, as_json=as_json, answers=answers, sent=sent(engine)
        )


@tasks.command()
@click.argument("task_id", nargs=-1, required=True)
@region_option
@given
@trust_option
@click.pass_obj
def cancel(project: Path, /, task_id: tuple[str, ...], region: str | None, **choices: Any) -> None:
    """Cancel tasks that are still PENDING; the service can't cancel running ones.

    \b
    qwenbuild tasks cancel TASK_ID TASK_ID

    Tries to cancel each task, and exits with 1 if any could not be cancelled.
    """
    ended = _engine(project, region, **choices).cancel_tasks(task_id)
    for name, error in ended.items():
        if error is None:
            click.echo(f"{'cancelled':>10}  {visible(name)}")
        else:
            style.problems(error.problems)
    sys.exit(1 if any(ended.values()) else 0)


@tasks.command()
@click.argument("task_id")
@click.argument("cell", shell_complete=completion.select)
@region_option
@given
@trust_option
@click.pass_obj
def adopt(project: Path, /, task_id: str, cell: str, region: str | None, **choices: Any) -> None:
    """Decide that a task is the one whose answer a cell has lost; the next build collects its image.

    \b
    qwenbuild tasks
    qwenbuild tasks adopt TASK_ID 'puppies/poster[seed=1]'

    The task must be one of the cell's candidates, which `qwenbuild tasks` lists. The service shows neither the
    size nor the seed of a task. The size is checked when the image is collected; the seed can't be checked.
    """
    engine = _engine(project, region, **choices)
    from qwenbuild.engine import adoption

    submission = adoption.adopt(engine, task_id, cell)
    click.echo(f"{'adopted':>10}  {visible(submission.cell or cell)}  the next build collects the image")


def _engine(project: Path, region: str | None, **choices: Any) -> Engine:
    """Return an engine whose provider has tasks."""
    engine = engine_of(project, **choices)
    from qwenbuild.engine.tasks import engine_with_tasks  # here, because `--help` needs no engine

    return engine_with_tasks(engine, region)


@click.command(short_help="Run a local DashScope, for offline work and CI.")
@click.option("--port", type=click.IntRange(0, 65535), default=8766, metavar="PORT", show_default=True,
              help="Listen on this port; 0 takes any free one.")  # fmt: skip
@click.option("--host", default="127.0.0.1", metavar="HOST", show_default=True, help="Listen on this address.")
@click.option("--latency", "latency_s", type=click.FloatRange(0), default=0.5, metavar="SECONDS", show_default=True,
              help="Time that a render takes.")  # fmt: skip
@click.option("--images", type=click.Choice(["draft", "null"]), default="draft", show_default=True,
              help="Provider that draws the images.")  # fmt: skip
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Inject a fault; repeatable. See --faults.")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of random faults: the same seed, the same faults.")
@click.option("--limits", type=click.FloatRange(0), default=1.0, metavar="FACTOR", show_default=True,
              help="Multiply the service's rate limits by this; 0 removes them.")  # fmt: skip
@click.option("--region", type=click.Choice(REGIONS), default=REGIONS[0], show_default=True,
              help="Region whose keys are accepted and whose prices are charged.")  # fmt: skip
@click.option("--faults", "explain", is_flag=True, help="Explain how faults are written.")
def emulator(explain: bool, **choices: Any) -> None:
    """Run a local DashScope: both interfaces, tasks, limits, errors and a bill; nothing leaves this machine.

    \b
    qwenbuild emulator
    qwenbuild emulator --fault throttle:20% --fault drop-after:sync:1

    Set the variables that it prints: qwenbuild and the vendor's SDK then use it. The page at its address
    shows what it would have billed.
    """
    import asyncio

    from qwenbuild.emulator import server

    if explain:
        click.echo(server.FAULT_HELP)
        return
    options = server.EmulatorOptions(**choices)
    asyncio.run(server.serve(options, _show_environment, _show_bill))


def _show_environment(base_url: str) -> None:
    """Write `export` lines that lead clients to the emulator to standard output, and the rest to standard error."""
    from qwenbuild.emulator.server import environment

    click.echo(f"DashScope emulator at {base_url}", err=True)
    for name, value in environment(base_url).items():
        click.echo(f"export {name}={value}")
    click.echo("Press Ctrl-C to stop.", err=True)
    sys.stdout.flush()


def _show_bill(bill: Mapping[str, Any]) -> None:
    """Write the totals of the bill, without its single records."""
    totals = {name: value for name, value in bill.items() if name != "records"}
    click.echo(f"billed: {json.dumps(totals, ensure_ascii=False)}", err=True)
