"""The commands that show things and change nothing: plan, explain, lint, status, show, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qwenbuild.errors import UsageError
from qwenbuild.problems import visible
from qwenbuild.terminal import plan_view, style

from ..arguments import (
    PathFromProject,
    engine_of,
    executor_option,
    json_option,
    provider,
    quiet_option,
    selection,
    shard_option,
    strict_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwenbuild.engine.engine import Engine
    from qwenbuild.plan.plan import Plan
    from qwenbuild.plan.review import Change


@click.command()
@selection
@click.option("--force", is_flag=True, help="Plan for `build --force`.")
@click.option("--overwrite", is_flag=True, help="Plan for `build --overwrite`.")
@click.option("--relock", is_flag=True, help="Plan for `build --relock`.")
@shard_option
@click.option("--base", metavar="REV", help="Also list the changes against the lock of this git revision.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown for a comment on a pull request.")
@click.option("--all", "every", is_flag=True, help="List every cell, also those that are up to date.")
@strict_option
@provider
@json_option
@click.pass_obj
def plan(project: Path, /, every: bool, as_json: bool, as_markdown: bool, base: str | None, **choices: Any) -> Plan:
    """Show what a build would do, and why. Changes nothing and spends nothing.

    \b
    qwenbuild plan                          what is not up to date
    qwenbuild plan --provider dashscope     what real images would cost
    qwenbuild plan --base origin/main --markdown
    qwenbuild plan --json | jq -r 'select(.verdict == "render").name'
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown exclude each other", name="contradicting-options")
    engine = engine_of(project, **choices)
    planned, changes = engine.review(base) if base is not None else (engine.plan(), None)
    if as_markdown:
        from qwenbuild.terminal import markdown

        engine.check_renders(planned)
        click.echo(markdown.markdown(planned, changes), nl=False)
        return planned
    show_plan(engine, planned, changes, base=base or "", as_json=as_json, every=every)
    return planned


def show_plan(
    engine: Engine, planned: Plan, changes: Sequence[Change] | None = None, *, base: str = "", as_json: bool = False,
    every: bool = False,
) -> None:  # fmt: skip
    """Print a plan, as text or as JSON; before it, its `changes` against the lock of the revision `base`."""
    engine.check_renders(planned)
    above = style.warnings([*planned.warnings, *planned.advice])
    if planned.remarks:
        from qwenbuild.terminal import lint_view

        above += lint_view.show_first(planned.remarks)
    if as_json:
        from qwenbuild.plan import review

        style.write(json.dumps(review.change_dict(change), ensure_ascii=False) for change in changes or ())
        style.write(json.dumps(plan_view.step_dict(step), ensure_ascii=False) for step in planned.steps)
        for orphan in planned.orphans:
            table = {"event": "orphan", "path": orphan.path, "name": orphan.name, "edited": orphan.edited}
            click.echo(json.dumps(table, ensure_ascii=False))
        click.echo(json.dumps(planned.summary))
    else:
        if changes is not None:
            plan_view.show_changes(changes, base, every=every)
        plan_view.show_plan(planned, every=every, above=above if sys.stderr.isatty() else 0)


@click.command(short_help="Show why an output has its verdict, and how to bring it up to date. Also: why.")
@selection
@provider
@json_option
@click.pass_obj
def explain(project: Path, /, as_json: bool, **choices: Any) -> None:
    """Show why an output has its verdict: what changed since its last build, and where each value comes from.

    \b
    qwenbuild explain out/icons/sun.png
    qwenbuild explain puppies/poster -w seed=1
    qwenbuild explain --json out/icons/sun.png | jq -r .remedy.command

    Lists the source of every field (file and line, axis or default), the command that brings the output
    up to date and its price, and earlier images of the output. Changes nothing and spends nothing.
    """
    from qwenbuild.plan.explain import as_dict
    from qwenbuild.terminal import explain_view

    explanations = engine_of(project, **choices).explain()
    if as_json:
        for explanation in explanations:
            click.echo(json.dumps(as_dict(explanation), ensure_ascii=False))
    else:
        explain_view.show(explanations)


@click.command(short_help="Find what specs and templates say, but most likely do not mean.")
@selection
@click.option("--strict", is_flag=True, help="Exit with 2 if anything was found.")
@provider
@json_option
@click.pass_obj
def lint(project: Path, /, strict: bool, as_json: bool, **choices: Any) -> None:
    """Find what specs and templates say, but most likely do not mean. Changes nothing and spends nothing.

    \b
    qwenbuild lint
    qwenbuild lint puppies/poster
    qwenbuild lint --strict                 in CI: exits with 2 if anything was found
    qwenbuild lint --json | jq -r .rule

    \b
    template-syntax   a prompt or a parameter holds `{{`, `{%` or a lone `}}` as text
    long-text         a quoted text is too long for the size of its image
    unused-variable   no template of its images reads a variable
    unused-template   nothing uses a file of the templates folder
    unused-axis       no image names a shared axis
    idle-axis         an axis changes no request
    unread-column     a column of data has the name of a field, but sets none
    prompt-path       a prompt is only the path of a text file
    """
    from qwenbuild.terminal import lint_view

    found = engine_of(project, **choices).lint()
    lint_view.show(found, as_json=as_json)
    sys.exit(2 if strict and found else 0)


@click.command(short_help="Show each image's outputs by verdict, and the last build.")
@selection
@provider
@json_option
@click.pass_obj
def status(project: Path, /, as_json: bool, **choices: Any) -> Plan:
    """Show each image's outputs by verdict, and the result of the last build.

    \b
    qwenbuild status
    qwenbuild status puppies
    """
    engine = engine_of(project, **choices)
    planned = engine.plan()
    style.warnings([*planned.warnings, *planned.advice])
    plan_view.show_status(planned, engine.last_run(), as_json=as_json)
    return planned


@click.command(short_help="Print the provenance in an image.")
@click.argument("image", type=PathFromProject(), required=False)
@click.option("--picked", is_flag=True, help="Print the provenance in the outputs of all starred cells.")
@json_option
@click.pass_obj
def show(project: Path, /, image: Path | None, picked: bool, as_json: bool) -> None:
    """Print the provenance in IMAGE.png: its request, model, seed and key.

    \b
    qwenbuild show out/icons/sun.png
    qwenbuild show --picked
    qwenbuild show --json out/icons/sun.png | jq .request.prompt
    """
    if (image is None) != picked:
        raise UsageError(
            "`show` needs an image, or --picked for all starred cells",
            hint="qwenbuild show out/x.png",
            name="no-cell-named",
        )
    if image:
        _show(image, as_json=as_json)
        return
    engine = engine_of(project, picked=True)
    for number, action in enumerate(engine.selected(engine.actions())):
        if not as_json:
            click.echo(("\n" if number else "") + visible(action.name))
        _show(engine.project.out / action.output, as_json=as_json)


def _show(image: Path, *, as_json: bool) -> None:
    """Print the provenance in an image. Raises UsageError if it has none."""
    from qwenbuild.files.provenance import read_provenance_file
    from qwenbuild.plan.lacking import PULL
    from qwenbuild.storage.outputs import pointed
    from qwenbuild.terminal import provenance_view

    try:
        provenance = read_provenance_file(image)
    except OSError as error:
        raise UsageError(f"{image} can't be read: {error.strerror or error}", name="file-unreadable") from error
    if provenance is None and pointed(image, image.stat()):
        raise UsageError(
            f"{image} is not here, but only a Git LFS pointer", hint=f"{PULL}, fetches the image", name="lfs-pointer"
        )
    if provenance is None:
        raise UsageError(
            f"{image} carries no provenance", hint="only images that qwenbuild wrote carry one", name="no-provenance"
        )
    if as_json:
        click.echo(json.dumps(provenance, ensure_ascii=False))
    else:
        provenance_view.show(provenance)


@click.command(short_help="Write a page of all images as static files, to look at and to share.")
@selection
@click.option("-o", "--output", type=PathFromProject(), metavar="DIR",
              help="Write it to this folder (default: .qwenbuild/report).")  # fmt: skip
@click.option("--small", is_flag=True, help="Leave out full-size images: small enough for a CI artifact.")
@click.option(
    "--diff",
    "base",
    metavar="RUN|REV",
    default="",
    help="Only what differs from this build or git revision, with its image there beside the present one.",
)
@click.option("--open", "show_page", is_flag=True, help="Open the page in the browser.")
@executor_option
@provider
@quiet_option
@click.pass_obj
def report(
    project: Path, /, output: Path | None, small: bool, base: str, show_page: bool, is_quiet: bool, **choices: Any
) -> None:
    """Write a page with every cell: its image or what is missing, prompt, provenance and price.

    \b
    qwenbuild report --open
    qwenbuild report puppies -w seed=1 -o public
    qwenbuild report --small -o artifact
    qwenbuild report --diff 12 --open       what changed since build 12, in pairs

    The files are static: they open from disk and from any web server. Spends nothing.
    """
    from qwenbuild.engine import comparison
    from qwenbuild.terminal.progress import progress

    engine = engine_of(project, **choices)
    with progress("writing", shown=not is_quiet, in_pipes=True) as tell:
        if base:
            written = comparison.report(engine, base, output, small=small, tell=tell)
        else:
            written = engine.report(output, small=small, tell=tell)
    style.warnings(written.warnings)
    click.echo(f"{'wrote':>10}  {written.index}  ({written.cells:,} cells, {style.byte_size(written.size_bytes)})")
    if show_page:
        click.launch(written.index.absolute().as_uri())
