"""The daily commands: build, watch, plan, and what shows how things stand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.cli.arguments import Money, engine_of, json_option, provider, selection, shard_option
from qwenbuild.cli.startup import loading
from qwenbuild.errors import QwenbuildError, UsageError, visible
from qwenbuild.terminal import console

if TYPE_CHECKING:
    from qwenbuild.events import Event
    from qwenbuild.plan.plan import Plan


@click.command()
@selection
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Render N images at once.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first image that fails (default: go on).")
@click.option("--force", is_flag=True, help="Render the selected images again, and pay again.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that were edited by hand.")
@click.option("--locked", is_flag=True, help="Fail, before anything is rendered, if the lock would change.")
@click.option("--relock", is_flag=True, help="Render what the lock pins and nobody has, and pin that.")
@shard_option
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write how it went as JUnit XML, for CI.")  # fmt: skip
@click.option("--max-cost", type=Money(), metavar="CNY", help="Stop before the first request that would pass this.")
@click.option("--detach", is_flag=True, help="Submit and leave; a later build collects (--interface async).")
@provider
@json_option
@click.pass_obj
def build(project: Path, /, as_json: bool, junit: Path | None, **choices: Any) -> None:
    """Render what is missing or out of date, and nothing else.

    \b
    qwenbuild build                            everything
    qwenbuild build puppies/poster -w seed=1   some cells of one image
    qwenbuild build --provider draft           typeset drafts, for free
    qwenbuild build --force -w seed=7          roll the dice again
    qwenbuild build --provider dashscope --max-cost 5
    qwenbuild build --shard 2/4 --junit junit.xml

    SELECT names specs, images, cells or outputs; none selects everything. Edited files are kept,
    equal requests render once, and one image's failure does not stop the others.
    """
    with loading():  # the builder, too, which the engine would load while Ctrl-C is an exception
        from qwenbuild.terminal import build_view as progress

    recording = None
    if junit:
        from qwenbuild.terminal.junit import Recording

        recording = Recording(junit)
    view = progress.view(as_json)

    def emit(event: Event) -> None:
        view.emit(event)
        if recording:
            recording.emit(event)

    arguments = None if as_json or junit else sys.argv[1:] or ["build"]
    try:
        finished = engine_of(project, **choices).build(emit, arguments=arguments)
    except (QwenbuildError, KeyboardInterrupt) as error:
        if recording:
            recording.fail(error)
        raise
    finally:
        view.close()
        if recording:
            recording.write()
    sys.exit(finished.exit_code)


@click.command(short_help="Follow the files: a save shows its effect at once, and costs nothing.")
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

    from qwenbuild.terminal import watch_view as watching

    if not preview and (open_page or port):
        raise UsageError(f"--no-preview serves no page, and {'--open' if open_page else '--port'} asks for one")

    asked = watching.Choices(auto=auto, preview=preview, open_page=open_page, port=port, as_json=as_json)
    sys.exit(asyncio.run(watching.watch(engine_of(project, **choices), asked)))


@click.command()
@selection
@click.option("--force", is_flag=True, help="As `build --force` would.")
@click.option("--overwrite", is_flag=True, help="As `build --overwrite` would.")
@click.option("--relock", is_flag=True, help="As `build --relock` would.")
@shard_option
@click.option("--base", metavar="REV", help="Also what changes against the lock of this git revision.")
@click.option("--markdown", "as_markdown", is_flag=True, help="As a comment for a pull request.")
@click.option("--all", "every", is_flag=True, help="List what is up to date, too, and all of a long plan.")
@provider
@json_option
@click.pass_obj
def plan(project: Path, /, every: bool, as_json: bool, as_markdown: bool, base: str | None, **choices: Any) -> Plan:
    """Tell what a build would do, and why. Changes nothing and spends nothing.

    \b
    qwenbuild plan                          what is not up to date
    qwenbuild plan --provider dashscope     what the real thing would cost
    qwenbuild plan --base origin/main --markdown
    qwenbuild plan --json | jq -r 'select(.verdict == "render").name'
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown are two forms of one plan: take one")
    engine = engine_of(project, **choices)
    from qwenbuild.plan import review

    planned, changes = engine.review(base) if base is not None else (engine.plan(), None)
    engine.check_renders(planned)
    if as_markdown:
        click.echo(review.markdown(planned, changes), nl=False)
        return planned
    console.warnings(planned.warnings)
    if as_json:
        console.write(json.dumps(review.change_dict(change), ensure_ascii=False) for change in changes or ())
        console.write(json.dumps(console.step_dict(step), ensure_ascii=False) for step in planned.steps)
        for orphan in planned.orphans:
            table = {"event": "orphan", "path": orphan.path, "name": orphan.name, "edited": orphan.edited}
            click.echo(json.dumps(table, ensure_ascii=False))
        click.echo(json.dumps(console.plan_summary(planned)))
    else:
        for change in changes or ():
            click.echo(f"{console.label(change.kind)}  {visible(change.name)}  {visible(change.reason)}")
        if changes is not None:
            click.echo(f"{len(changes):,} outputs differ from {visible(base or '')}\n")
        console.show_plan(planned, every=every)
    return planned


@click.command(short_help="Tell why outputs are what they are, and what would mend them.")
@selection
@provider
@json_option
@click.pass_obj
def explain(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Tell why outputs are what they are: what differs from the last time, and where each value came from.

    \b
    qwenbuild explain out/icons/sun.png
    qwenbuild explain puppies/poster -w seed=1
    qwenbuild explain --json out/icons/sun.png | jq -r .remedy.command

    Names file and line, axis or default of every field, what would make the output up to date and what
    that costs, and which images stood there before. Changes nothing and spends nothing.
    """
    from qwenbuild.plan.explain import as_dict
    from qwenbuild.terminal import explain_view as explaining

    explanations = engine_of(project, **choices).explain()
    if as_json:
        for it in explanations:
            click.echo(json.dumps(as_dict(it), ensure_ascii=False))
    else:
        explaining.show(explanations)


@click.command(short_help="Tell how each image's outputs stand, and how the last build ended.")
@selection
@provider
@json_option
@click.pass_obj
def status(project: Path, /, as_json: bool, **choices: Any) -> Plan:
    """Tell how the project stands: each image's outputs by verdict, and the last build.

    \b
    qwenbuild status
    qwenbuild status puppies
    """
    engine = engine_of(project, **choices)
    planned = engine.plan()
    console.show_status(planned, engine.last_run(), as_json=as_json)
    return planned


@click.command(short_help="Print the provenance that an image carries.")
@click.argument("image", type=click.Path(path_type=Path))
@json_option
def show(image: Path, as_json: bool) -> None:
    """Print the provenance that IMAGE.png carries: its request, model, seed and key.

    \b
    qwenbuild show out/icons/sun.png
    qwenbuild show --json out/icons/sun.png | jq .request.prompt
    """
    from qwenbuild.files.png import read_provenance_file

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


@click.command()
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
    result = engine_of(project, **choices).clean(orphans_only=orphans, dry_run=dry_run)
    removed = [path for path, done in result if done]
    for path, done in result:
        if not done:
            click.echo(f"{console.label('edited')}  {visible(path)}  kept")
        elif dry_run:
            click.echo(f"{'would remove':>10}  {visible(path)}")
    if not dry_run:
        click.echo(f"{console.outputs(len(removed))} removed" if removed else "nothing to remove")


@click.command(short_help="Write a page of all images that opens from disk, to look at and to hand on.")
@selection
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Where to write it (default: .qwenbuild/report).")  # fmt: skip
@click.option("--small", is_flag=True, help="Leave the full-size images out: small enough for a CI artifact.")
@click.option("--open", "show_page", is_flag=True, help="Open it in the browser.")
@provider
@click.pass_obj
def report(project: Path, /, output: Path | None, small: bool, show_page: bool, **choices: Any) -> None:
    """Write a page that shows every cell: image or what is missing, prompt, provenance, price.

    \b
    qwenbuild report --open
    qwenbuild report puppies -w seed=1 -o public
    qwenbuild report --small -o artifact

    Static files: they open from disk and from any web server. Spends nothing.
    """
    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=1, label=f"{'writing':>10}", file=sys.stderr, show_pos=True, show_eta=False, hidden=hidden
    ) as bar:

        def tell(done: int, total: int) -> None:
            bar.length = total
            bar.update(1)

        written = engine_of(project, **choices).report(output, small=small, tell=tell)
    click.echo(f"{'wrote':>10}  {written.index}  ({written.cells:,} cells, {console.byte_size(written.size_bytes)})")
    if show_page:
        click.launch(written.index.absolute().as_uri())
