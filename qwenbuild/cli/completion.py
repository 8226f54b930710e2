"""Shell completion of commands, options, and the specs, images, tags, cells and axes of the project.

Invariants:
- Completion is quick, because it runs at every Tab. It loads no pydantic and no Jinja (see `specs.outline`).
- Completion is silent. After any error it completes nothing.
- The text of a spec is data. It reaches the command line quoted, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from qwenbuild.specs import discovery, outline
from qwenbuild.specs.cell_names import parse_cell_name, quoted, split_labels
from qwenbuild.specs.outline import ImageOutline

VARIABLE = "_QWENBUILD_COMPLETE"
"""The environment variable with which the shell scripts ask for completions."""

SHELLS = ("bash", "zsh", "fish")

_FIELDS = ("model", "size", "seed")  # conditions may name these fields even if no image has such an axis
_DONE = re.compile(r'(?:(?:[^",]|"(?:[^"\\]|\\.)*")*,)*')  # the parts before the last comma outside of quotes
_OPEN = "open"  # the type of an unfinished completion; no space follows it


# --- the shells ---

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line
    COMPREPLY=()
    while read -r line; do
        case $line in
            plain,*) COMPREPLY+=("${line#plain,}") ;;
            open,*) COMPREPLY+=("${line#open,}"); compopt -o nospace 2>/dev/null ;;
            dir,*) compopt -o dirnames 2>/dev/null ;;
            file,*) compopt -o default 2>/dev/null ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described unfinished response
    local type key descr
    response=("${(@f)$(COMP_WORDS="${words[1,CURRENT]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete ${words[1]} 2>/dev/null)}")
    for type key descr in ${response}; do
        case $type in
            plain) if [[ $descr == _ ]]; then plain+=("$key"); else described+=("$key:$descr"); fi ;;
            open) unfinished+=("$key") ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#unfinished )) && compadd -U -S '' -V unsorted -a unfinished
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \
COMP_CWORD=(commandline -ct | string collect --allow-empty) %(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 "," -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain open
                echo $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --keep-order --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    """Parses the whole line, because bash splits words at `=` and `:` and replaces only the part after them."""

    source_template: ClassVar[str] = _BASH

    def source(self) -> str:
        return self.source_template % self.source_vars()  # without click's check of the version: bash 3.2 works

    def get_completion_args(self) -> tuple[list[str], str]:
        words, self._quote, done = _parse_line(os.environ["COMP_LINE"])
        option, equals, _ = words[-1].partition("=")
        of_option = len(option + equals) if equals and option.startswith("--") else 0
        self._done = max(0, done - of_option)  # click completes only what follows `--option=`
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        value = item.value
        if item.type in ("plain", _OPEN):
            value = _escaped(value[self._done :], self._quote)
        return f"{item.type},{value}"


class _Zsh(ZshComplete):
    source_template: ClassVar[str] = _ZSH


class _Fish(FishComplete):
    source_template: ClassVar[str] = _FISH


_BY_NAME: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def script(shell: str) -> str:
    """Return the script that sets up completion of `qwenbuild` in `shell`, one of `SHELLS`."""
    return _BY_NAME[shell](click.Group(), {}, "qwenbuild", VARIABLE).source()


def answer(command: click.Command, asked: str) -> None:
    """Write the completions for a shell script to stdout. `asked` is the value of `VARIABLE`. Never raises."""
    with contextlib.suppress(Exception):
        shell, _, what = asked.partition("_")
        if what == "complete" and shell in _BY_NAME:
            text = _BY_NAME[shell](command, {}, "qwenbuild", VARIABLE).complete()
            sys.stdout.buffer.write(f"{text}\n".encode() if text else b"")
            sys.stdout.flush()


def _parse_line(line: str) -> tuple[list[str], str, int]:
    """Return (words, quote, done) of a line that is being typed.

    `words` are the words without their quotes. `quote` is the quote that is still open, or empty. `done` is the number
    of characters of the last word that bash keeps: those before the last `=`, `:` or quote.
    """
    words, quote, done, inside = [""], "", 0, False
    characters = iter(line)
    for ch in characters:
        if quote:
            if ch == quote:
                quote, done = "", len(words[-1])
            else:
                words[-1] += next(characters, "") if ch == "\\" and quote == '"' else ch
        elif ch in "'\"":
            quote, done, inside = ch, len(words[-1]), True
        elif ch.isspace():
            if inside:
                words.append("")
                done, inside = 0, False
        else:
            words[-1] += next(characters, "") if ch == "\\" else ch
            inside = True
            if ch in "=:":
                done = len(words[-1])
    return words, quote, done


def _escaped(text: str, quote: str) -> str:
    """Return `text` escaped for bash, after the open `quote` or, if that is empty, outside of quotes."""
    if quote == "'":
        return text.replace("'", "'\\''")
    special = r'([$`"\\])' if quote else r"([^\w@%+=:,./~-]|^~)"
    return re.sub(special, r"\\\1", text)


# --- values of the command line ---


def select(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the names of specs and images, the axes of a cell after a bracket, and otherwise files.

    After `pick --drop`, complete the starred cells instead.
    """
    if ctx.params.get("drop"):
        from qwenbuild.storage import picks  # here, because no other completion needs it

        root = discovery.find_config(_start(ctx)).root
        return _matching([pick.cell for pick in picks.read(root / picks.NAME)], incomplete)
    images = _images(ctx)
    name, bracket, cell = incomplete.partition("[")
    if bracket:
        return _cells([image for image in images if image.full_name == name], name, cell)
    specs = dict.fromkeys(image.spec for image in images)
    names = _matching([*specs, *(image.full_name for image in images)], incomplete)
    return names or [CompletionItem(incomplete, type="file")]


def _cells(images: Iterable[ImageOutline], name: str, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the name of a cell; `incomplete` follows the bracket, such as `seed=1,pal`."""
    done = _done(incomplete)
    head, pair = f"{name}[{done}", incomplete[len(done) :]
    _, named = parse_cell_name(f"{head.rstrip(',')}]") or ("", {})
    left = dict.fromkeys(axis for image in images for axis in image.matrix if axis not in named)
    axis, equals, value = pair.partition("=")
    if not equals:
        return [CompletionItem(head + item.value, type=_OPEN) for item in _matching((f"{it}=" for it in left), pair)]
    found = [f"{head}{axis}={item.value}" for item in _matching(map(quoted, _labels(images, axis)), value)]
    if left.keys() - {axis}:
        return [CompletionItem(f"{cell},", type=_OPEN) for cell in found]
    return [CompletionItem(f"{cell}]") for cell in found]


def where(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete `axis=`, then `axis=value`, for the images that the line has selected so far.

    After `!=` and after a comma, values are completed, too.
    """
    asked = [str(name).partition("[")[0] for name in ctx.params.get("select") or ()]
    images = _images(ctx)
    chosen = [image for image in images if image.spec in asked or image.full_name in asked] or images
    axis, equals, text = incomplete.partition("=")
    if not equals:
        axes = [*(axis for image in chosen for axis in image.matrix), *_FIELDS]
        return _matching([f"{name}=" for name in axes], incomplete, _OPEN)
    labels, done = _labels(chosen, axis.removesuffix("!")), _done(text)
    found = [item.value for item in _matching(filter(None, labels), text)]
    if done and not found:
        named = {*split_labels(done)}
        more = (quoted(label) for label in labels if label.isprintable() and label not in named)
        found = [done + item.value for item in _matching(more, text.removeprefix(done))]
    return [CompletionItem(f"{axis}={value}") for value in found]


def axes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the axis that a sheet is arranged by."""
    return _matching(
        [*(axis for image in _images(ctx) for axis in image.matrix), "image", "spec", *_FIELDS], incomplete
    )


def tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the tags of all images."""
    return _matching((tag for image in _images(ctx) for tag in image.tags), incomplete)


def one_of(*values: str) -> Any:
    """Return a function that completes one of `values`."""
    return lambda ctx, param, incomplete: _matching(values, incomplete)


def providers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the names of the installed providers."""
    from qwenbuild.providers.registry import installed

    return _matching(installed(), incomplete)


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the names of the config's profiles."""
    return _matching(outline.profiles(_start(ctx)), incomplete)


def variables(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete `name=` for the variables that the config and the specs declare."""
    return _matching((f"{name}=" for name in outline.variables(_start(ctx))), incomplete, _OPEN)


def error_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Complete the names of errors."""
    from qwenbuild.error_entries import entries  # here, because no other completion needs it

    return _matching(entries(), incomplete)


def folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
    """Let the shell complete folders."""
    return [CompletionItem(incomplete, type="dir")]


def _images(ctx: click.Context) -> list[ImageOutline]:
    return outline.images(_start(ctx))


def _start(ctx: click.Context) -> Path:
    return ctx.find_root().params.get("project") or Path()


def _done(text: str) -> str:
    """Return the parts of a list that are written already, with the comma behind them."""
    match = _DONE.match(text)
    return match[0] if match else ""


def _labels(images: Iterable[ImageOutline], axis: str) -> list[str]:
    """Return the values that an axis has in `images`."""
    labels: dict[str, None] = {}
    for image in images:
        with contextlib.suppress(Exception):  # a mistake in a spec or data file
            labels.update(dict.fromkeys(image.labels(axis)))
    return list(labels)


def _matching(values: Iterable[str], incomplete: str, kind: str = "plain") -> list[CompletionItem[Any]]:
    """Return the values that begin with `incomplete` and that a terminal can show."""
    return [
        CompletionItem(value, type=kind)
        for value in dict.fromkeys(values)
        if value.startswith(incomplete) and value.isprintable()
    ]
