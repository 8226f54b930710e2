"""The commands of a repository and of the store that all of a user's projects share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from qwenbuild.cli.arguments import Age, Bytes, engine_of, json_option
from qwenbuild.cli.completion import SHELLS, script
from qwenbuild.errors import LockError
from qwenbuild.terminal import console


@click.command(name="lock", short_help="Write what each output is made of, for others to get the same bytes.")
@click.option("--check", is_flag=True, help="Write nothing; fail where a build would change the lock.")
@click.pass_obj
def lock_command(project: Path, /, check: bool) -> None:
    """Write qwenbuild.lock from what is there, rendering nothing. Every build does it, too.

    \b
    qwenbuild lock             after a merge that left conflicts in it
    qwenbuild lock --check     in CI, and before a commit

    The lock pins each output to its bytes. Commit it: who builds then gets these bytes, or is told
    that nobody has them.
    """
    from qwenbuild.storage import lock

    engine = engine_of(project)
    if check:
        engine.check_lock()
        click.echo(f"up to date: {lock.NAME}")
    else:
        wrote, lacking = engine.write_lock()
        click.echo(f"{'wrote':>10}  {lock.NAME}" if wrote else f"up to date: {lock.NAME}")
        if lacking:
            click.echo(f"{console.outputs(lacking)} not pinned: no build has made what the specs ask for now", err=True)


@click.command()
@json_option
@click.pass_obj
def verify(project: Path, /, as_json: bool) -> None:
    """Compare the output folder with the lock, byte by byte.

    \b
    qwenbuild verify
    qwenbuild verify --json | jq -r .path

    Reads the lock and the images alone: no specs, no data, no store. Exits with 3 where an output
    is missing or differs; images that the lock does not know are named, and do no harm.
    """
    from qwenbuild.specs.project import find
    from qwenbuild.storage import lock
    from qwenbuild.storage import verify as verifying

    found = find(project)
    known = lock.read(found.lock_path)
    if known.theirs is not None:
        raise LockError(f"{lock.NAME} holds conflicts of a merge", hint="`qwenbuild lock` resolves them")
    if not known.pins and not found.lock_path.exists():
        raise LockError(f"no {lock.NAME} here", hint="`qwenbuild build` writes it")
    mismatches = list(verifying.compare(known.pins.values(), found.out))
    strangers = verifying.strangers(known.pins.values(), found.out)
    console.show_verified(len(known.pins), mismatches, strangers, as_json=as_json)
    sys.exit(LockError.exit_code if mismatches else 0)


@click.command()
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
    from qwenbuild.storage.garbage import collect_garbage

    planned, done = collect_garbage(
        os.environ, older_than_s=older_than, max_bytes=max_size, unreferenced=unreferenced,
        spare_referenced=not used, dry_run=dry_run,
    )  # fmt: skip
    console.show_garbage(planned, done)


@click.command(short_help="Check the environment, and say what to fix.")
@json_option
@click.pass_obj
def doctor(project: Path, /, as_json: bool) -> None:
    """Check what builds depend on: packages, fonts, store, disk, API key, service, clock, remote, project.

    \b
    qwenbuild doctor
    qwenbuild doctor --json | jq -r 'select(.level == "fail").hint'

    Changes nothing and spends nothing: the service is asked for the account's tasks. Works without a
    project and without a network. Exits 1 where something must be fixed.
    """
    from qwenbuild.engine.doctor import examine

    sys.exit(console.show_findings(examine(project, os.environ), as_json=as_json))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write a small project into FOLDER (default: here), ready to build.

    \b
    qwenbuild init posters
    cd posters && qwenbuild build
    """
    from qwenbuild.engine import scaffold

    for name in scaffold.write(folder):
        click.echo(f"{'wrote':>10}  {folder / name}")
    into = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"next: {into}qwenbuild build")


@click.command(short_help="Print the JSON Schema of specs, or of the config.")
@click.argument("which", type=click.Choice(["spec", "config"]), default="spec")
def schema(which: str) -> None:
    """Print the JSON Schema of the spec format (or of the config), for editors.

    \b
    qwenbuild schema > specs/spec.schema.json

    A spec that starts with `#:schema ./spec.schema.json` completes in editors with Taplo or
    Tombi, such as VS Code (Even Better TOML) and Zed.
    """
    from qwenbuild.specs import project, spec

    table = spec.schema() if which == "spec" else project.schema()
    click.echo(json.dumps(table, indent=2, ensure_ascii=False))


@click.command(short_help="Print the script that lets a shell complete commands, images and axes.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, specs, images, cells, axes and values.

    \b
    qwenbuild completion bash > ~/.local/share/bash-completion/completions/qwenbuild
    qwenbuild completion zsh > ~/.zfunc/_qwenbuild
    qwenbuild completion fish > ~/.config/fish/completions/qwenbuild.fish

    Bash needs the package bash-completion for this; elsewhere, put `eval "$(qwenbuild completion bash)"`
    into ~/.bashrc. For zsh, ~/.zfunc must be in `fpath` before `compinit` runs in ~/.zshrc.
    """
    click.echo(script(shell), nl=False)
