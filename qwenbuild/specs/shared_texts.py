"""Shared texts: the texts that a template gives in the cells of an image.

Cells with the same values for the axes that a template reads share one text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qwenbuild.files.text import nfc

from .declaration import Declaration, Value
from .template import Template

CANVAS = frozenset({"model", "size", "width", "height", "ratio"})
"""Names of templates that depend on the model or the size of the cell."""

_WORTH_SHARING = 200  # cells; for fewer, rendering is faster than finding out what a template reads


class SharedText:
    """A template of an image, and the texts that it gave so far.

    `name` is the field that it sets. `axes` are the numbers of the axes that the text can depend on; None: all.
    """

    __slots__ = ("_known", "axes", "name", "template")

    def __init__(
        self, name: str, template: Template, declaration: Declaration, fields: Mapping[str, SharedText]
    ) -> None:
        """`fields` are the templates of fields that the text may read through their names, such as `size`."""
        self.name, self.template = name, template
        self.axes = _axes_read(template, declaration, fields)
        self._known: dict[tuple[int, ...], str] = {}  # by the `id()` of the value of each of these axes

    def of(self, values: Sequence[Value], see: Callable[[], dict[str, object]]) -> str:
        """Return the text of the cell with these values; `see` returns what templates see. Raises ProjectError."""
        if self.axes is None:
            return self.template.render(see())
        # The key holds identities, because a row of an `include` may have the label of another row. They stay
        # unique, because the values live longer than this object.
        at = tuple([id(values[number]) for number in self.axes])
        if at not in self._known:
            self._known[at] = self.template.render(see())
        return self._known[at]


def _axes_read(template: Template, declaration: Declaration, fields: Mapping[str, SharedText]) -> Sequence[int] | None:
    reads = template.reads() if declaration.cells >= _WORTH_SHARING else None
    if reads is None:
        return None
    if reads & CANVAS:  # a ratio such as 16:9 means another size for another model
        reads |= {"model", "size"}
    numbers = {number for number, axis in enumerate(declaration.axes) if nfc(axis) in reads}
    for name in reads & fields.keys():
        if (more := fields[name].axes) is None:
            return None
        numbers.update(more)
    return sorted(numbers) if len(numbers) < len(declaration.axes) else None
