"""Lint: what a project's specs and templates may say, but most likely do not mean.

Each rule has a name that stays. A rule is silent where it can't be sure: templates that compute the names of their
includes may read everything. Lint reads the project's files, and changes nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property, partial
from itertools import starmap
from pathlib import PurePosixPath

from qwenbuild.errors import ProjectError, in_order
from qwenbuild.files.text import line_of, nfc, whole_line
from qwenbuild.files.toml_positions import Keys
from qwenbuild.problems import Place, Problem

from . import axes, habits, variable_uses
from .action import Action
from .control_characters import texts_in
from .declaration import Declaration
from .declared_names import FIELDS
from .layers import Kind, Layer
from .lint_axes import idle
from .lint_rules import (
    COSTLY,
    IDLE_AXIS,
    PROMPT_PATH,
    TEMPLATE_SYNTAX,
    UNREAD_COLUMN,
    UNUSED_AXIS,
    UNUSED_TEMPLATE,
    UNUSED_VARIABLE,
    Remark,
)
from .project import Project
from .template import Templates

_FILES = (Kind.IMAGE, Kind.SPEC, Kind.PROFILE, Kind.CONFIG)  # layers that stand in files, whatever a command line sets
_TEMPLATE = re.compile(r"\{\{.{0,40}?\}\}|\{%.{0,40}?%\}|\{\{|\{%", re.DOTALL)
_WORD = re.compile(r"[^\W\d]\w*")
_NOTHING: frozenset[str] = frozenset()
_SUFFIXES = (".j2", ".jinja", ".jinja2")  # of templates; other files in the folder may be anything


def remarks(project: Project, actions: Sequence[Action], chosen: Sequence[Action]) -> list[Remark]:
    """Return what the rules find about the `chosen` actions, in the order of files and lines.

    `actions` are all actions of the project. If all are chosen, unused templates are found, too. Raises UsageError for
    a variable of `--var` that nothing knows.
    """
    from .lint_prompts import (
        PromptRules,
    )  # here, because the patterns of quoted texts take 5 ms, and no plan needs them

    variable_uses.uses(project, actions)
    linter = _Linter(project, actions)
    found = [*PromptRules(project, linter.templates).remarks(chosen), *linter.remarks(chosen)]
    return sorted(starmap(Remark, found), key=lambda remark: in_order(remark.problem))


def quick_remarks(project: Project, actions: Sequence[Action], chosen: Sequence[Action]) -> list[Remark]:
    """Return what can be found without rendering or parsing every prompt: first what costs most.

    Everything found is also among the `remarks`. A variable is found only if its name stands in no text at all.
    """
    found = starmap(Remark, _Linter(project, actions).remarks(chosen, is_quick=True))
    return sorted(found, key=lambda remark: (remark.rule not in COSTLY, in_order(remark.problem)))


class _Linter:
    def __init__(self, project: Project, actions: Sequence[Action]) -> None:
        self.templates = Templates(project.templates, project.config.templates)
        self._project, self._actions = project, actions
        self._known: dict[str, tuple[frozenset[str] | None, set[str]]] = {}  # what a text reads, and the files in it

    @cached_property
    def _declarations(self) -> list[Declaration]:
        return [*{id(action.declaration): action.declaration for action in self._actions}.values()]

    def remarks(self, chosen: Sequence[Action], *, is_quick: bool = False) -> Iterator[tuple[str, Problem]]:
        """Yield what the rules of this class find about the `chosen` actions."""
        by_id = {id(action.declaration): action.declaration for action in chosen}
        images = [*by_id.values()]
        yield from self.unnamed_variables(images) if is_quick else self.variables(images)
        yield from self.parameters(images, {action.model.name for action in chosen})
        yield from self.unused_templates() if len(chosen) == len(self._actions) else ()
        yield from self.shared_axes(images)
        yield from self.axes(by_id)
        yield from self.paths(images)
        yield from self.columns(images)

    # --- what templates read ---

    def _reads(self, declaration: Declaration, *without: str) -> frozenset[str] | None:
        """Return the names that the templates of an image read; None if they are known only while rendering.

        The fields `without` do not count.
        """
        found: frozenset[str] = frozenset()
        for text in variable_uses.texts(declaration, self.templates, *without):
            read, _ = self._read(text)
            if read is None:
                return None
            found |= read
        return found

    def _read(self, text: str) -> tuple[frozenset[str] | None, set[str]]:
        if text not in self._known:
            files: set[str] = set()
            self._known[text] = self.templates.reads(text, files), files
        return self._known[text]

    # --- rules ---

    def variables(self, images: Sequence[Declaration]) -> Iterator[tuple[str, Problem]]:
        """Yield the variables of the images, and of the files and tables around them, that no template reads."""
        wanted = {_at(layer): layer for image in images for layer in image.layers if layer.kind in _FILES}
        used: dict[object, set[str]] = {at: set() for at in wanted}
        read_at: dict[object, set[str]] = {at: set() for at in wanted}  # also where a nearer name hides the variable
        unsure: set[object] = set()
        for declaration in self._declarations:
            read = self._reads(declaration)
            hidden = {nfc(axis) for axis in declaration.axes}
            for layer in (it for it in declaration.layers if it.kind in _FILES):
                at = _at(layer)
                if read is None:
                    unsure.add(at)
                elif at in used:
                    used[at] |= read - hidden
                    read_at[at] |= read
                hidden |= {*map(nfc, layer.fields.vars)}
        for at, layer in wanted.items():
            for name in layer.fields.vars if at not in unsure else ():
                if nfc(name) in read_at[at] - used[at]:
                    claim = f'the variable "{name}" is never used'
                    hint = "an axis, or a variable of the image, has the same name"
                    yield (
                        UNUSED_VARIABLE,
                        Problem(claim, layer.place("vars", name, key=True), hint=hint, name="unused-variable"),
                    )
                elif nfc(name) not in used[at]:
                    yield UNUSED_VARIABLE, _unread(layer, name)

    def unnamed_variables(self, images: Sequence[Declaration]) -> Iterator[tuple[str, Problem]]:
        """Yield those variables whose names are no word of any text that could read them. This parses no template."""
        wanted = {_at(layer): layer for image in images for layer in image.layers if layer.kind in _FILES}
        left = {at: {nfc(name): name for name in layer.fields.vars} for at, layer in wanted.items()}
        for declaration in self._declarations if any(left.values()) else ():
            asked = [names for layer in declaration.layers if (names := left.get(_at(layer)))]
            words = self._words(declaration) if asked else _NOTHING
            for names in asked:
                for name in words & names.keys():
                    del names[name]
        for at, names in left.items():
            for name in names.values():
                yield UNUSED_VARIABLE, _unread(wanted[at], name)

    def _words(self, declaration: Declaration) -> frozenset[str]:
        """Return the words of an image's templates; if one may use files, also those of all files in the folder."""
        words = _NOTHING
        for text in variable_uses.texts(declaration, self.templates):
            words |= {*_WORD.findall(nfc(habits.without_unlike(text)))} | (
                self._words_of_files if "{%" in text else frozenset()
            )
        return words

    @cached_property
    def _words_of_files(self) -> frozenset[str]:
        """The words of all files in the templates folder that can be read."""
        found = _NOTHING
        for name in self.templates.names:
            with contextlib.suppress(ProjectError):
                found |= {*_WORD.findall(nfc(self.templates.text(name) or ""))}
        return found

    def parameters(self, images: Sequence[Declaration], models: Set[str]) -> Iterator[tuple[str, Problem]]:
        """Yield the parameters of the images and the models that look like templates. They are never rendered."""
        tables = [
            (layer.source, layer.keys, layer.fields.parameters)
            for layer in {_at(layer): layer for image in images for layer in image.layers}.values()
        ]
        file = self._project.file
        for name in sorted(models & self._project.config.models.keys()):
            table = self._project.config.models[name].parameters or {}
            tables.append((file.source, (*file.keys, "models", name), table))
        for source, keys, table in tables:
            for within, text in texts_in(table, ()):
                if found := _TEMPLATE.search(text):
                    claim = f'the parameter "{within[0]}" holds `{found[0]}` as text'
                    place = source.place((*keys, "parameters", *within))
                    hint = "a parameter is never a template: write the text itself"
                    yield (
                        TEMPLATE_SYNTAX,
                        Problem(claim, place, "this is not rendered", hint=hint, name="template-syntax"),
                    )

    def unused_templates(self) -> Iterator[tuple[str, Problem]]:
        """Yield the files of the templates folder that no image uses, directly or through another template."""
        used = {declaration.image.template or "" for declaration in self._declarations}
        for declaration in self._declarations if len(used - {""}) < len(self.templates.names) else ():
            for text in variable_uses.texts(declaration, self.templates):
                read, files = self._read(text) if "{%" in text else (_NOTHING, set[str]())
                if read is None:
                    return
                used |= files
        used = {*map(nfc, used)}
        suffixes = {*_SUFFIXES, *(PurePosixPath(name).suffix for name in used)}
        for name in self.templates.names:
            path = PurePosixPath(name)
            is_template = path.suffix in suffixes and path.stem.upper() not in ("README", "LICENSE", "CHANGELOG")
            if nfc(name) not in used and is_template and not any(part.startswith(".") for part in path.parts):
                yield UNUSED_TEMPLATE, Problem(f'nothing uses the template "{name}"', self._first_line(name),
                                               hint="remove it, or name it in an image or a template",
                                               name="unused-template")  # fmt: skip

    def _first_line(self, name: str) -> Place:
        shown, text = f"{self._project.config.templates}/{name}", ""
        try:
            text = self.templates.text(name) or ""
        except ProjectError:
            return Place(shown)
        number = next((number for number, line in enumerate(text.split("\n"), start=1) if line.strip()), 0)
        return whole_line(shown, number, line_of(text, number)) if number else Place(shown)

    def shared_axes(self, images: Sequence[Declaration]) -> Iterator[tuple[str, Problem]]:
        """Yield the shared axes of the config, and of the specs of the images, that no image names."""
        used = {(written.source.shown, written.keys) for it in self._declarations for written in it.written.values()}
        specs = {it.spec.name: it.spec for it in images}
        shared = [*axes.of_config(self._project).values()]
        for spec in specs.values():
            shared += axes.of_spec(spec).values()
        for axis in shared:
            if (axis.source.shown, axis.keys) not in used:
                name, place = axis.keys[-1], axis.place(key=True)
                hint = f'an image names it: axes = ["{name}"]'
                yield UNUSED_AXIS, Problem(f'no image names the axis "{name}"', place, hint=hint, name="unused-axis")

    def axes(self, images: Mapping[int, Declaration]) -> Iterator[tuple[str, Problem]]:
        """Yield the axes of the images whose values make no difference to any request."""
        cells: dict[int, list[Action]] = {}
        for action in self._actions:
            if id(action.declaration) in images:
                cells.setdefault(id(action.declaration), []).append(action)
        for at, declaration in images.items():
            for axis, duplicates, pair in idle(declaration, cells[at], partial(self._reads, declaration, "output")):
                total = len(cells[at])
                claim = f"axis `{axis}` changes no request: {duplicates:,} of {total:,} cells are duplicates"
                facts = [f"{pair[0].name}", f"{pair[1].name} asks for the same image"]
                hint = self._hint(declaration, axis)
                place = declaration.written[axis].place(key=True)
                yield IDLE_AXIS, Problem(claim, place, facts=facts, hint=hint, name="idle-axis")

    def paths(self, images: Sequence[Declaration]) -> Iterator[tuple[str, Problem]]:
        """Yield the prompts that are only the path of a text file."""
        for declaration in images:
            if habits.is_path((declaration.image.prompt or "").strip()):
                claim, place = f"the prompt of {declaration.name} is the path of a file", declaration.place("prompt")
                hint = f'template = "NAME" takes the text of a file in {self._project.config.templates}/'
                yield PROMPT_PATH, Problem(claim, place, "this text itself is sent", hint=hint, name="prompt-path")

    def columns(self, images: Sequence[Declaration]) -> Iterator[tuple[str, Problem]]:
        """Yield the columns that have the name of a field of the request, and that no template reads."""
        for declaration in images:
            rows = {axis: values[0] for axis, values in declaration.axes.items() if not isinstance(values, range)}
            rows = {axis: row for axis, row in rows.items() if isinstance(row, Mapping)}
            if not any(name.strip().lower() in FIELDS for row in rows.values() for name in row):
                continue
            own = [*variable_uses.texts(declaration, self.templates)]
            read = [*map(self._read, own)]
            if any(names is None for names, _ in read):
                continue
            files = {declaration.image.template or "", *(file for _, found in read for file in found)} - {""}
            texts = "\n".join([*own, *(self.templates.text(file) or "" for file in sorted(files))])
            for axis, row in rows.items():
                read_of = _columns_read(axis, texts)
                if read_of is None:
                    continue
                for name in row:
                    field = name.strip().lower()
                    if field in FIELDS and field not in declaration.axes and name not in read_of:
                        claim = f'the column "{name}" of {axis} sets no field'
                        hint = f'{field} = "{{{{ {axis}.{name} }}}}" lets it set the field'
                        yield (
                            UNREAD_COLUMN,
                            Problem(claim, declaration.written[axis].place(key=True), hint=hint, name="unread-column"),
                        )

    def _hint(self, declaration: Declaration, axis: str) -> str:
        if nfc(axis) in (self._reads(declaration, "output") or ()):
            return "a template reads it, but gives the same texts for all of its values"
        for text in variable_uses.texts(declaration, self.templates):
            if unlike := habits.unlike_template(axis, text):
                return f"a template reads it as {{{{ {axis} }}}}, and not as {unlike}"
        is_table = isinstance(declaration.axes[axis][0], Mapping)
        return f"is `{{{{ {axis}{'.COLUMN' if is_table else ''} }}}}` missing in the template? else remove the axis"


def _unread(layer: Layer, name: str) -> Problem:
    hint = f"a template reads it as {{{{ {name} }}}}"
    return Problem(
        f'no template reads the variable "{name}"',
        layer.place("vars", name, key=True),
        hint=hint,
        name="unused-variable",
    )


def _at(layer: Layer) -> tuple[str, Keys]:
    """Return what tells the layers of different tables apart."""
    return layer.source.shown, layer.keys


def _columns_read(axis: str, texts: str) -> set[str] | None:
    """Return the columns of an axis that templates name; None if one of them may read the row as a whole."""
    name = rf"\b{re.escape(axis)}\b"
    if re.search(rf"{name}(?!\s*[.\[])", texts):
        return None
    return {*re.findall(rf"{name}\s*\.\s*(\w+)", texts), *re.findall(rf"{name}\s*\[\s*['\"]([^'\"]+)", texts)}
