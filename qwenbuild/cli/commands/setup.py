"""The commands that set up a machine and a project, and that help: doctor, init, schema, completion, explain-error."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from qwenbuild.errors import UsageError
from qwenbuild.problems import did_you_mean, visible

from ..arguments import PathFromProject, json_option, trust_option
from ..completion import SHELLS, error_names, script

_HOMES = {
    "git": "committed beside the specs",
    "lfs": "committed with Git LFS, which keeps clones small",
    "store": "not in git: only in each machine's store, and in a remote cache if you name one",
}


@click.command(short_help="Check the environment, and say what to fix.")
@json_option
@trust_option
@click.pass_obj
def doctor(project: Path, /, as_json: bool) -> None:
    """Check what builds depend on: packages, fonts, store, disk, API key, service, clock, remote cache, project.

    \b
    qwenbuild doctor
    qwenbuild doctor --json | jq -r 'select(.level == "fail").hint'

    Changes nothing and spends nothing: it only asks the service for the account's tasks. Works without
    a project and without a network. Exits with 1 if something must be fixed.
    """
    from qwenbuild.engine.doctor import examine
    from qwenbuild.terminal import doctor_view

    sys.exit(doctor_view.show(examine(project, os.environ), as_json=as_json))


@click.command()
@click.argument("folder", type=PathFromProject(), required=False)
@click.option("--images", type=click.Choice(list(_HOMES)), help="Where images live, besides each machine's store.")
@click.pass_obj
def init(project: Path, /, folder: Path | None, images: str | None) -> None:
    """Write a small project into FOLDER (default: here).

    \b
    qwenbuild init posters
    cd posters && qwenbuild build
    qwenbuild init --images lfs

    Images live in git (the default), in git with Git LFS, or only in the store and in a remote cache. On a terminal,
    `init` asks. The answer is in .gitignore and .gitattributes; files that exist already get the lines that they lack.
    A project that has a config but no spec gets a first spec and its template.
    """
    from qwenbuild.engine import scaffold

    if bare := scaffold.without_specs(folder or project, around=folder is None):
        if images:
            raise UsageError(
                "--images is for a new project, and this one has a config",
                hint="qwenbuild init",
                name="contradicting-options",
            )
        for path in scaffold.write_first_spec(bare):
            click.echo(f"{'wrote':>10}  {os.path.relpath(path)}")
        click.echo("next: qwenbuild plan")
        return
    folder = folder or project
    chosen = scaffold.Images(images or _asked_where())
    for name in scaffold.write(folder, chosen):
        click.echo(f"{'wrote':>10}  {folder / name}")
    if ignored := scaffold.ignored(folder, chosen):
        what = ", ".join("the images" if path == scaffold.IMAGE else path for path in ignored)
        click.echo(f"git still ignores {what}: `git check-ignore -v {folder / ignored[0]}` names the rule", err=True)
    if chosen is scaffold.Images.LFS:
        click.echo("once on each machine: git lfs install")
    into = "" if folder == Path() else f"cd {folder} && "
    click.echo(f"next: {into}qwenbuild build")


def _asked_where() -> str:
    """Return where images are to live: what the user answers on a terminal, else the default."""
    first = next(iter(_HOMES))
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return first
    click.echo("Where should the images live?", err=True)
    for name, meaning in _HOMES.items():
        click.echo(f"{name:>10}  {meaning}", err=True)
    return str(click.prompt("Images", type=click.Choice(list(_HOMES)), default=first, err=True))


@click.command(short_help="Print the JSON Schema of specs, or of the config.")
@click.argument("which", type=click.Choice(["spec", "config"]), default="spec")
def schema(which: str) -> None:
    """Print the JSON Schema of the spec format (or of the config), for editors.

    \b
    qwenbuild schema > specs/spec.schema.json

    A spec that begins with `#:schema ./spec.schema.json` is completed by editors with Taplo or Tombi,
    such as VS Code (Even Better TOML) and Zed.
    """
    from qwenbuild.specs import project, spec

    table = spec.schema() if which == "spec" else project.schema()
    click.echo(json.dumps(table, indent=2, ensure_ascii=False))


@click.command(short_help="Print a script that completes commands, images and axes in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, specs, images, cells, axes and values.

    \b
    qwenbuild completion bash > ~/.local/share/bash-completion/completions/qwenbuild
    qwenbuild completion zsh > ~/.zfunc/_qwenbuild
    qwenbuild completion fish > ~/.config/fish/completions/qwenbuild.fish

    For bash, install the package bash-completion, or add `eval "$(qwenbuild completion bash)"` to
    ~/.bashrc. For zsh, ~/.zfunc must be in `fpath` before ~/.zshrc runs `compinit`.
    """
    click.echo(script(shell), nl=False)


@click.command("explain-error", short_help="Say why an error happens, and what to do.")
@click.argument("name", nargs=-1, shell_complete=error_names)
def explain_error(name: tuple[str, ...]) -> None:
    """Say why an error of this NAME happens, and what to do; without one, list all names.

    \b
    qwenbuild explain-error unknown-key
    qwenbuild explain-error service

    Errors name themselves: in their last line, and with --json in "problem_names". A group lists its names.
    """
    from qwenbuild.error_entries import GROUPS, entries
    from qwenbuild.terminal import error_view

    known = entries()
    for each in name:
        if each not in known and each not in GROUPS:
            hint = did_you_mean(each, [*known, *GROUPS]) or "`qwenbuild explain-error` lists all names"
            raise UsageError(f'no error is called "{visible(each)}"', hint=hint, name="wrong-command-line")
    error_view.show([known[each] for each in name if each in known])
    if groups := [each for each in name or GROUPS if each in GROUPS]:
        error_view.show_groups(groups)


def _commands(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the commands that begin so."""
    root = ctx.find_root().command
    return [name for name in getattr(root, "commands", ()) if name.startswith(incomplete)]


@click.command("help", short_help="Show how a command is used.")
@click.argument("command", nargs=-1, shell_complete=_commands)
@click.pass_context
def help_(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Show how COMMAND is used; without one, show all commands.

    \b
    qwenbuild help build
    qwenbuild help cache push
    """
    shown = ctx.find_root()
    for name in command:
        group = shown.command
        known = group.list_commands(shown) if isinstance(group, click.Group) else []
        found = group.get_command(shown, name) if isinstance(group, click.Group) else None
        if found is None:
            hint = did_you_mean(name, known) or f"`{shown.command_path} --help` lists what there is"
            raise UsageError(f'no command "{visible(" ".join(command))}"', hint=hint, name="wrong-command-line")
        shown = click.Context(found, info_name=name, parent=shown)
    click.echo(shown.get_help())
