"""The view of `explain`: an output's verdict, remedy, fields with their sources, prompt and history.

On a terminal removed words are struck out, and each part of the prompt has the colour of its variable.
Elsewhere changes are written as [-words-]{+words+}, as in git's word diff.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from qwenbuild.digest import canonical_json
from qwenbuild.plan.explain import Explanation, Field, history_changes
from qwenbuild.problems import plain, visible

from .style import coloured, label, local_time, money, styled
from .submission_view import submission_lines

_HUES = ("cyan", "yellow", "magenta", "blue", "bright_red", "bright_green")
_TITLES = 15  # columns of the names of fields, if no name is longer
_WIDEST = 50  # columns of a field's value; the prompt is shown apart, in full


def show(explanations: Iterable[Explanation]) -> None:
    """Write each explanation, with a separator between two."""
    for number, explanation in enumerate(explanations):
        if number:
            click.echo(styled("─" * 40, sys.stdout, dim=True) if coloured(sys.stdout) else "")
        _show(explanation)


def _show(explanation: Explanation) -> None:
    step, remedy, out = explanation.step, explanation.remedy, sys.stdout
    click.echo(styled(visible(step.action.name), out, bold=True))
    click.echo(f"{label(step.verdict)}  {visible(step.reason)}")
    for line in submission_lines(step.submission) if step.submission else ():
        _fact("", visible(line))
    _fact("output", f"{visible(step.action.output)}  {_dim(str(explanation.output))}")
    if failure := step.failure:
        when = f"{local_time(failure.at_s)}  " if failure.at_s else ""
        _fact("last error", f"{_dim(when)}{visible(failure.claim)}")
        for line in (*failure.facts, *([failure.hint] if failure.hint else [])):
            _fact("", visible(line))
    price = f", for {money({remedy.price.currency: remedy.price.amount})}" if remedy.price else ""
    if remedy.price and remedy.price.is_about:
        price = price.replace("for ", "for about ", 1)
    if remedy.price and remedy.price.is_assumed:
        price += " (assumed, for want of a price)"
    _fact("remedy", f"{remedy.effect}{price}")
    if remedy.command:
        _fact("", styled(visible(remedy.command), out, bold=True))
    click.echo()
    _show_fields(explanation)
    click.echo()
    _show_prompt(explanation)
    if explanation.history:
        if explanation.variables:
            click.echo()
        _show_history(explanation)


def _fact(name: str, text: str) -> None:
    click.echo(f"{_dim(f'{name:>10}')}  {text}")


def _dim(text: str) -> str:
    return styled(visible(text), sys.stdout, dim=True)


def _show_fields(explanation: Explanation) -> None:
    if explanation.before is not None:
        differ = any(field.before is not None for field in explanation.fields)
        click.echo(f"compared with {explanation.compared}" + ("" if differ else ": nothing differs"))
    fields = [field for field in explanation.fields if field.name != "prompt"]
    titles = max(_TITLES, *(len(_title(field.name)) for field in fields))
    width = max((len(_cut(_shown(field.value))) for field in fields if field.before is None), default=0)
    for field in fields:
        value = f"{visible(_cut(_shown(field.value))):<{width}}" if field.before is None else _changed(field)
        click.echo(f"{_mark(field)}{_dim(f'{_title(field.name):>{titles}}')}  {value}  {_dim(str(field.source))}")


def _shown(value: object) -> str:
    """Return a value as a text that one can see: `none` for none, white space in quotes, and tables as JSON."""
    text = "" if value is None else plain(value)
    if isinstance(value, dict | list):
        text = canonical_json(value).decode()
    return f'"{text}"' if text.isspace() else text or "none"


def _mark(field: Field) -> str:
    return " " if field.before is None else styled("*", sys.stdout, fg="yellow", bold=True)


def _title(name: str) -> str:
    if name.startswith("parameter "):  # the vendor's own name follows
        return name
    return "provider" if name == "family" else name.replace("_", " ")


def _changed(field: Field) -> str:
    """Return the difference between a field's value before and now."""
    pieces = field.difference or [("-", _shown(field.before)), ("+", _shown(field.value))]
    return "".join(_piece(sign, text) for sign, text in pieces)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _show_prompt(explanation: Explanation) -> None:
    variables = explanation.variables
    prompt = next(field for field in explanation.fields if field.name == "prompt")
    click.echo(f"{_mark(prompt)}{_dim(prompt.name.rjust(_TITLES))}  {_dim(str(prompt.source))}")
    hues = {name: _HUES[number % len(_HUES)] for number, name in enumerate(variables)}
    if prompt.difference:
        _paragraph("".join(_piece(sign, text) for sign, text in prompt.difference))
    if not prompt.difference or (coloured(sys.stdout) and variables):  # the colours show each variable's part
        _paragraph("".join(_segment(text, names, hues) for text, names in explanation.segments))
    for name, source in variables.items():
        texts = dict.fromkeys(" ".join(text.split()) for text, names in explanation.segments if name in names)
        title = styled(f"{visible(name):>16}", sys.stdout, fg=hues[name])
        click.echo(f"{title}  {visible(_cut(' … '.join(texts)))}  {_dim(str(source))}")


def _paragraph(text: str) -> None:
    """Write an indented text and an empty line."""
    for line in text.split("\n"):
        click.echo(f"  {line}".rstrip())
    click.echo()


def _piece(sign: str, text: str) -> str:
    """Return a part of a difference; `sign` is "-" (removed), "+" (added) or " " (kept)."""
    shown, stream = visible(text, keep="\n"), sys.stdout
    if sign == " ":
        return shown
    if coloured(stream):
        styles: dict[str, Any] = {"fg": "red", "strikethrough": True} if sign == "-" else {"fg": "green", "bold": True}
        return styled(shown, stream, **styles)
    return f"[-{shown}-]" if sign == "-" else f"{{+{shown}+}}"


def _segment(text: str, names: Iterable[str], hues: dict[str, str]) -> str:
    hue = next((hues[name] for name in names if name in hues), None)
    return styled(visible(text, keep="\n"), sys.stdout, fg=hue) if hue else visible(text, keep="\n")


def _show_history(explanation: Explanation) -> None:
    click.echo("earlier images of this output, newest first")
    for past, how in zip(explanation.history, history_changes(explanation.history), strict=True):
        kept = "in the store" if past.image in explanation.kept else "gone from the store"
        click.echo(f"  {local_time(past.at_s)}  {past.image[:12]}  {_dim(kept)}{'  ' + visible(how) if how else ''}")
