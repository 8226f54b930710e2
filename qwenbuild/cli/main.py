"""The command line: reads arguments into `Options` and lets the engine work; a client of the Python API.

Exit codes: 0 all there, 1 some images failed, 2 usage or spec error, 3 a lock or verification
mismatch, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click

from qwenbuild.cli.commands import build, cache, lock, look, service, setup
from qwenbuild.cli.commands import cache as commands_cache
from qwenbuild.errors import QwenbuildError, UsageError
from qwenbuild.problems import Problem
from qwenbuild.terminal import style
from qwenbuild.version import __version__

from .arguments import Commands
from .completion import folders


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "--project", type=click.Path(path_type=Path), default=Path(), metavar="DIR", shell_complete=folders,
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
    ctx.color = style.coloured(sys.stdout)


for _command in (
    build.build, build.watch, look.plan, look.explain, look.status, look.show, build.clean,
    look.report,
    lock.lock_command, lock.verify, commands_cache.cache, cache.gc,
    setup.doctor,
    setup.init, setup.schema,
    setup.completion,
    service.tasks, service.emulator,
):  # fmt: skip
    main.add_command(_command)


def run(arguments: list[str] | None = None, made: list[object] | None = None) -> int:
    """Run the command line and return the exit code; errors become text here and nowhere else.

    `made` gets what the command returns: while it is held, a large plan is not taken apart, which takes its time.
    """
    stdout = sys.stdout
    try:
        returned = main.main(args=arguments, prog_name="qwenbuild", standalone_mode=False)
        if made is not None:
            made.append(returned)
    except QwenbuildError as error:
        style.problems(error.problems)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        problem = UsageError(re.sub(r"\s*\n\s*", " ", error.format_message()), hint=_usage(error))
        style.problems(problem.problems)
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
    style.problems([Problem(f"standard output can't be written: {error.strerror or error}")])
    return 1


def _usage(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` lists what it takes" if context else None
