"""Variable uses: which images depend on which variables of `--var`, and variables that nothing knows.

A template of an image depends on what it and the files that it uses read. If the name of such a file is computed, it
may be any file of the templates folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from qwenbuild.errors import UsageError
from qwenbuild.files.text import nfc
from qwenbuild.problems import did_you_mean, listing

from . import layers
from .action import Action
from .declaration import Declaration
from .declared_names import SET
from .fields import Fields
from .given import Given, field_hint
from .project import Project
from .template import Templates


@dataclass(frozen=True, slots=True)
class VariableUses:
    """What the command line gives, and which of its variables the outputs of each image depend on."""

    given: Given = field(default_factory=Given)
    _by_image: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # as `Given.written`

    def of(self, action: Action) -> tuple[str, ...]:
        """Return the variables that an output depends on, each as `name=value`."""
        return self._by_image.get(action.declaration.name, ()) if self._by_image else ()

    def facts(self, action: Action) -> dict[str, Any]:
        """Return what the provenance of an image says of the profile and the variables; empty without them."""
        return self._as_dict(self.of(action))

    def as_dict(self) -> dict[str, Any]:
        """Return what `plan --json` says of the profile and the variables; empty without them."""
        return self._as_dict(self.variables)

    def _as_dict(self, variables: tuple[str, ...]) -> dict[str, Any]:
        profile = {"profile": self.given.profile} if self.given.profile else {}
        return {**profile, **({"vars": list(variables)} if variables else {})}

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables that the command line gives, each as `name=value`."""
        return self.given.written(self.given.variables)


NOTHING_GIVEN = VariableUses()


def uses(project: Project, actions: Iterable[Action]) -> VariableUses:
    """Return the uses of what the command line gives, by all actions of the project.

    Raises UsageError for a variable that no image declares or reads, and for one that is an axis instead. Which images
    are selected does not count: an image that is not selected needs its variables, too. Templates are read only if
    there are variables.
    """
    given = project.given
    if not given.variables:
        return VariableUses(given)
    images = {action.declaration.name: action.declaration for action in actions}
    reads = _Reads(project)
    of_image = {name: reads.of(image) for name, image in images.items()}
    known: dict[str, None] = {}
    for name, image in images.items():
        axes = {*map(nfc, image.axes)}
        known |= {it: None for it in [*_declared(image), *sorted(of_image[name] - SET)] if it not in axes}
    for name in given.variables:
        if name not in known:
            _refuse(name, images.values(), known)
    used = {name: given.written(given.variables.keys() & found) for name, found in of_image.items()}
    return VariableUses(given, used)


def _refuse(name: str, images: Iterable[Declaration], known: Iterable[str]) -> NoReturn:
    for image in images:
        for axis in image.axes:
            if nfc(axis) == name:
                raise UsageError(
                    f"{axis} is an axis of {image.name}: --var sets variables only",
                    hint=f"-w {axis}=VALUE selects cells of the axis",
                    name="wrong-var",
                )
    raise UsageError(
        f"--var {name}: no spec declares this variable, and no template reads it",
        facts=[f"variables: {listing(known)}"] if known else [],
        hint=did_you_mean(name, known) or field_hint(name),
        name="wrong-var",
    )


def _declared(image: Declaration) -> Mapping[str, Any]:
    """Return the variables that the files of a project declare for an image, by name."""
    return layers.variables([layer for layer in image.layers if layer.kind is not layers.Kind.OPTION])


def texts(image: Declaration, templates: Templates, *without: str) -> Iterator[str]:
    """Yield the templates of an image: the prompt, and the fields that may be templates, but those `without`."""
    yield (templates.text(image.image.template) if image.image.template else image.image.prompt) or ""
    for name in Fields.model_fields:
        is_set = name not in without and name not in image.axes
        if is_set and isinstance(value := image.setting(name), str):
            yield value


class _Reads:
    """What the templates of images read. Each file is read once."""

    def __init__(self, project: Project) -> None:
        self._templates = Templates(project.templates, project.config.templates)
        self._by_text: dict[str, frozenset[str]] = {}

    def of(self, image: Declaration) -> frozenset[str]:
        """Return the names that the templates of an image may read."""
        found: frozenset[str] = frozenset()
        for text in texts(image, self._templates):
            if text not in self._by_text:
                self._by_text[text] = self._templates.may_read(text)
            found |= self._by_text[text]
        return found
