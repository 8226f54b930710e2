"""How explanations read: verdict and remedy, fields with where each came from, the prompt, and what stood there before.

On a terminal words that went are struck out, and parts of the prompt have the colour of what they
came from; elsewhere they stand as [-words-]{+words+}, as in git's word diff.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click

from qwenbuild.plan.explain import Explanation, Field, turned
from qwenbuild.problems import plain, visible

from .style import coloured, label, money, styled

_HUES = ("cyan", "yellow", "magenta", "blue", "bright_red", "bright_green")
_WIDEST = 50  # columns of a value; the prompt stands below


def show(explanations: Iterable[Explanation]) -> None:
    """Write explanations, each as a paragraph of its own."""
    for number, it in enumerate(explanations):
        if number:
            click.echo(styled("─" * 40, sys.stdout, dim=True) if coloured(sys.stdout) else "")
        _show(it)


def _show(it: Explanation) -> None:
    step, out = it.step, sys.stdout
    click.echo(styled(visible(step.action.name), out, bold=True))
    click.echo(f"{label(step.verdict)}  {visible(step.reason)}")
    _fact("output", f"{visible(step.action.output)}  {_dim(str(it.output))}")
    price = f", for {money({it.remedy.price.currency: it.remedy.price.amount})}" if it.remedy.price else ""
    _fact("remedy", f"{it.remedy.effect}{price}")
    if it.remedy.command:
        _fact("", styled(visible(it.remedy.command), out, bold=True))
    click.echo()
    _show_fields(it)
    click.echo()
    _show_prompt(it)
    if it.history:
        if it.variables:
            click.echo()
        _show_history(it)


def _fact(name: str, text: str) -> None:
    click.echo(f"{_dim(f'{name:>10}')}  {text}")


def _dim(text: str) -> str:
    return styled(visible(text), sys.stdout, dim=True)


def _show_fields(it: Explanation) -> None:
    if it.before is not None:
        differ = any(one.before is not None for one in it.fields)
        click.echo(f"compared with {it.compared}" + ("" if differ else ": nothing differs"))
    fields = [one for one in it.fields if one.name != "prompt"]
    width = max((len(_cut(plain(one.value) or "none")) for one in fields if one.before is None), default=0)
    for one in fields:
        value = f"{visible(_cut(plain(one.value) or 'none')):<{width}}" if one.before is None else _changed(one)
        click.echo(f"{_mark(one)}{_dim(f'{_called(one.name):>15}')}  {value}  {_dim(str(one.source))}")


def _mark(one: Field) -> str:
    return " " if one.before is None else styled("*", sys.stdout, fg="yellow", bold=True)


def _called(name: str) -> str:
    return "provider" if name == "family" else name.replace("_", " ")


def _changed(one: Field) -> str:
    """Return what a field was, and its value."""
    found = one.difference or [("-", plain(one.before) or "none"), ("+", plain(one.value) or "none")]
    return "".join(_piece(sign, text) for sign, text in found)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _show_prompt(it: Explanation) -> None:
    prompt = next(one for one in it.fields if one.name == "prompt")
    click.echo(f"{_mark(prompt)}{_dim(prompt.name.rjust(15))}  {_dim(str(prompt.source))}")
    hues = {name: _HUES[number % len(_HUES)] for number, name in enumerate(it.variables)}
    if prompt.difference:
        _paragraph("".join(_piece(sign, text) for sign, text in prompt.difference))
    if not prompt.difference or (coloured(sys.stdout) and it.variables):  # colours tell what came from where
        _paragraph("".join(_segment(text, names, hues) for text, names in it.segments))
    for name, source in it.variables.items():
        texts = dict.fromkeys(" ".join(text.split()) for text, names in it.segments if name in names)
        shown = styled(f"{visible(name):>16}", sys.stdout, fg=hues[name])
        click.echo(f"{shown}  {visible(_cut(' … '.join(texts)))}  {_dim(str(source))}")


def _paragraph(text: str) -> None:
    """Write a text, and an empty line after it."""
    for line in text.split("\n"):
        click.echo(f"  {line}".rstrip())
    click.echo()


def _piece(sign: str, text: str) -> str:
    shown, stream = visible(text, keep="\n"), sys.stdout
    if sign == " ":
        return shown
    if coloured(stream):
        look: dict[str, Any] = {"fg": "red", "strikethrough": True} if sign == "-" else {"fg": "green", "bold": True}
        return styled(shown, stream, **look)
    return f"[-{shown}-]" if sign == "-" else f"{{+{shown}+}}"


def _segment(text: str, names: Iterable[str], hues: dict[str, str]) -> str:
    hue = next((hues[name] for name in names if name in hues), None)
    return styled(visible(text, keep="\n"), sys.stdout, fg=hue) if hue else visible(text, keep="\n")


def _show_history(it: Explanation) -> None:
    click.echo("images that stood here, the newest first")
    for past, how in zip(it.history, turned(it.history), strict=True):
        when = datetime.fromtimestamp(past.at_s).astimezone().isoformat(" ", "seconds")
        kept = "in the store" if past.image in it.kept else "gone from the store"
        click.echo(f"  {when}  {past.image[:12]}  {_dim(kept)}{'  ' + visible(how) if how else ''}")
