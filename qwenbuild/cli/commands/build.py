"""The commands that change `out/`: build, watch, clean."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.problems import visible
from qwenbuild.terminal import style

from ..arguments import (
    GIVEN,
    Money,
    PathFromProject,
    engine_of,
    executor_option,
    given,
    json_option,
    provider,
    quiet_option,
    selection,
    shard_option,
    strict_option,
    trust_option,
)
from ..startup import loading
from . import look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwenbuild.events import Event


@click.command()
@selection
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Render N images at once.")
@executor_option
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done, as `plan` does; build nothing.")
@click.option("--fail-fast/--keep-going", " /-k", "fail_fast", default=False,
              help="Stop at the first image that fails, or build the others (the default).")  # fmt: skip
@click.option("--force", is_flag=True, help="Render the selected images again, and pay again.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that were edited by hand.")
@click.option("--locked", is_flag=True, help="Fail before rendering anything if the lock would change.")
@click.option("--relock", is_flag=True, help="Render images that the lock pins and nobody has, and pin the new ones.")
@shard_option
@click.option("--junit", type=PathFromProject(dir_okay=False), metavar="FILE",
              help="Write the results to FILE as JUnit XML, for CI.")  # fmt: skip
@click.option("--max-cost", type=Money(), metavar="CNY", help="Stop before the first request that would exceed this.")
@click.option(
    "--detach",
    is_flag=True,
    help="Submit and exit; a later build collects. With the sync interface, it leaves only the downloads.",
)
@strict_option
@provider
@json_option
@quiet_option
@click.option("-v", "--verbose", "is_verbose", is_flag=True, help="Print a line for each image that is made.")
@click.pass_obj
def build(
    project: Path, /, as_json: bool, is_quiet: bool, is_verbose: bool, dry_run: bool, junit: Path | None, **choices: Any
) -> None:
    """Render what is missing or out of date, and nothing else.

    \b
    qwenbuild build                            everything
    qwenbuild build puppies/poster -w seed=1   some cells of one image
    qwenbuild build -n                         what would be done, and what it costs
    qwenbuild build --provider draft           typeset drafts, for free
    qwenbuild build --var campaign=spring      with another value of a variable
    qwenbuild build --force -w seed=7          render these cells again
    qwenbuild build --provider dashscope --max-cost 5
    qwenbuild build --shard 2/4 --junit junit.xml

    SELECT names specs, images, cells or outputs; without it everything is built. Files edited by hand
    are kept, equal requests are rendered once, and if an image fails the others are still built.
    """
    if dry_run:
        engine = engine_of(project, **choices)
        if engine.options.locked:
            engine.check_lock()
        look.show_plan(engine, engine.plan(), as_json=as_json)
        return
    sys.exit(_build(project, choices, junit, as_json=as_json, is_quiet=is_quiet, is_verbose=is_verbose))


def _build(
    project: Path, choices: Mapping[str, Any], junit: Path | None, *, as_json: bool, is_quiet: bool, is_verbose: bool
) -> int:
    """Build, show its events, and return its exit code."""
    with loading():  # also the builder: the engine would import it later, when Ctrl-C raises an exception
        from qwenbuild.builder.interrupt import Interrupt
        from qwenbuild.terminal import build_view
        from qwenbuild.terminal.outlet import Outlet, is_closed_terminal

    recording = None
    if junit:
        from qwenbuild.terminal.junit import Recording

        recording = Recording(junit)
    interrupt = Interrupt()

    def unshown(error: OSError) -> None:
        # Without a SIGHUP, a build whose terminal was closed goes on: the user has detached it (`setsid`, `disown`).
        if not is_closed_terminal(error):
            interrupt.request()

    with contextlib.ExitStack() as ending:
        if recording:
            ending.callback(recording.write)
        try:
            engine = engine_of(project, **choices)
            out = os.path.join(os.path.relpath(engine.project.out), "")
            outlet = Outlet(build_view.view(as_json, is_verbose=is_verbose, is_quiet=is_quiet, out=out), unshown)
            ending.callback(outlet.close)

            def emit(event: Event) -> None:
                outlet.emit(event)
                if recording:
                    recording.emit(event)

            given_line = click.get_current_context().meta[GIVEN]
            finished = engine.build(emit, interrupt, arguments=given_line, quiet=not (as_json or junit))
        except (QwenbuildError, KeyboardInterrupt) as error:
            if recording:
                recording.fail(error)
            raise
    if outlet.error and not is_closed_terminal(outlet.error) and not finished.signal:
        raise outlet.error
    return finished.exit_code


@click.command(short_help="Follow the files: show the effect of each save at once, for free.")
@selection
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT",
              help="Serve the page on this port, 0 on any (default: the project's own, else the next).")  # fmt: skip
@click.option("--no-preview", "preview", flag_value=False, default=True, help="Serve no page.")
@click.option("--auto", is_flag=True, help="Render without being asked, within the budget.")
@click.option("--max-cost", type=Money(), metavar="CNY", help="Spend at most this in one watch.")
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Render N images at once.")
@provider
@json_option
@click.pass_obj
def watch(
    project: Path, /, open_page: bool, port: int | None, preview: bool, auto: bool, as_json: bool, **choices: Any
) -> None:
    """Follow specs, templates and data; plan again at each save, and show the images on a page.

    \b
    qwenbuild watch --open
    qwenbuild watch puppies/poster -w seed=1
    qwenbuild watch --auto --max-cost 5

    Free images are built at once. If images cost money, a save makes drafts, which never touch out/.
    Press `r`, or use the page, to render the real images. Press `q` to leave.
    """
    import asyncio

    from qwenbuild.terminal import watch_session

    if not preview and (open_page or port is not None):
        raise UsageError(
            f"--no-preview serves no page, but {'--open' if open_page else '--port'} needs one",
            name="contradicting-options",
        )

    asked = watch_session.Choices(auto=auto, preview=preview, open_page=open_page, port=port, as_json=as_json)
    sys.exit(asyncio.run(watch_session.watch(engine_of(project, **choices), asked)))


@click.command()
@selection
@click.option("--orphans", is_flag=True, help="Only outputs that no spec declares any more.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
@given
@trust_option
@click.pass_obj
def clean(project: Path, /, orphans: bool, dry_run: bool, **choices: Any) -> None:
    """Remove outputs that qwenbuild wrote. The store keeps their bytes, so a build restores them.

    \b
    qwenbuild clean --orphans --dry-run
    qwenbuild clean puppies -w seed=1

    Keeps files that were edited by hand, and files that qwenbuild did not write.
    """
    result = engine_of(project, **choices).clean(orphans_only=orphans, dry_run=dry_run)
    removed = [path for path, done in result if done]
    for path, done in result:
        if not done:
            click.echo(f"{style.label('edited')}  {visible(path)}  kept")
        elif dry_run:
            click.echo(f"{'would remove':>10}  {visible(path)}")
    if not dry_run:
        click.echo(f"{style.outputs(len(removed))} removed" if removed else "nothing to remove")
