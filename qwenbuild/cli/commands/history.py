"""The commands that look back: ls, log, diff, cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from qwenbuild.terminal import style

from ..arguments import engine_of, given, json_option, provider, selection


@click.command(name="ls", short_help="List the outputs: a table on a terminal, paths in a pipe.")
@selection
@click.option("-0", "--null", is_flag=True, help="End each path with NUL instead of a line break, for `xargs -0`.")
@provider
@json_option
@click.pass_obj
def list_outputs(project: Path, /, as_json: bool, null: bool, **choices: Any) -> None:
    """List the outputs with verdict, size and seed. Changes nothing and spends nothing.

    \b
    qwenbuild ls puppies
    qwenbuild ls --null | xargs -0 optipng
    qwenbuild ls --json | jq -r 'select(.verdict == "render").name'

    In a pipe, and with --null, it prints only paths, of those files that are there. Paths start in the current folder;
    with -C they are absolute.
    """
    engine = engine_of(project, **choices)
    from qwenbuild.terminal import ls_view

    plan = engine.plan()
    style.warnings(plan.warnings)
    out = engine.project.out
    start = Path(os.path.relpath(out)) if project == Path() else out.absolute()
    ls_view.show(plan, start, as_json=as_json, null=null)


@click.command(short_help="List past builds, or the images that an output had.")
@selection
@click.option("-n", "most", type=click.IntRange(1), default=20, metavar="N", help="List at most N (default: 20).")
@click.option("--all", "every", is_flag=True, help="List all.")
@given
@json_option
@click.pass_obj
def log(project: Path, /, as_json: bool, most: int, every: bool, **choices: Any) -> None:
    """List past builds, the newest first: number, time, duration, what was done, cost, exit code.

    \b
    qwenbuild log
    qwenbuild log out/icons/sun.png         the images of this output
    qwenbuild log puppies -n 5
    qwenbuild log --json | jq 'select(.exit_code != 0)'

    With a selection, list the images that were written at these outputs: the build that wrote each one, its digest,
    and what had changed in its request. Builds that had nothing to do are not on record.
    """
    engine = engine_of(project, **choices)
    from qwenbuild.engine import history
    from qwenbuild.terminal import log_view

    limit = None if every else most
    if engine.options.is_selecting:
        log_view.show_images(history.images(engine, limit), as_json=as_json)
    else:
        log_view.show_builds(history.builds(engine, limit), as_json=as_json)


@click.command(short_help="Show what differs between two builds or git revisions.")
@click.argument("old", metavar="RUN|REV")
@click.argument("new", metavar="[RUN|REV]", required=False)
@given
@json_option
@click.pass_obj
def diff(project: Path, /, old: str, new: str | None, as_json: bool, **choices: Any) -> None:
    """Show which outputs differ between two builds or git revisions: added, changed, repinned, dropped.

    \b
    qwenbuild diff 12                       build 12 and now
    qwenbuild diff 12 13                    what build 13 did
    qwenbuild diff main                     the lock of main and the present one
    qwenbuild diff v1.0..v2.0

    `qwenbuild log` has the numbers of builds. Repinned means another image of the same request.
    `qwenbuild report --diff` shows the images side by side.
    """
    engine = engine_of(project, **choices)
    from qwenbuild.engine import comparison
    from qwenbuild.terminal import diff_view

    diff_view.show(comparison.compare(engine, old, new), as_json=as_json)


@click.command(short_help="Show what was billed, by image, model, month or project.")
@click.option("--by", type=click.Choice(["image", "model", "month", "project"]), default="image", show_default=True,
              help="Group by this.")  # fmt: skip
@click.option("--all-projects", is_flag=True, help="Count all of your projects, not only this one.")
@json_option
@click.pass_obj
def cost(project: Path, /, by: str, all_projects: bool, as_json: bool) -> None:
    """Show what the service has billed for this project, by your ledger. Asks nobody.

    \b
    qwenbuild cost
    qwenbuild cost --by month --all-projects
    qwenbuild cost --json | jq -r 'select(.kind == "total").amounts.CNY'

    Requests without an answer may have been billed: they are shown apart. What an emulator made never counts. Prices
    are those at the time of the request.
    """
    from qwenbuild.engine import costs
    from qwenbuild.terminal import cost_view

    found = costs.costs_of_all(os.environ, by) if all_projects else costs.costs(engine_of(project), by)
    cost_view.show(found, by, as_json=as_json)
