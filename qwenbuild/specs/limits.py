"""The limits of templates: what one text may take, counted in steps, characters, digits and levels.

Everything is counted, nothing is timed. So a template passes or fails in the same way on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from jinja2.exceptions import SecurityError

MAX_CHARACTERS = 100_000
"""The longest text that a template may produce: far above every prompt limit, far below what exhausts memory."""

MAX_STEPS = 1_000_000
"""The most steps of one text. A step is about one expression of a template, once evaluated: 0.1 microseconds."""

EASY_STEPS = 50_000
"""The most steps of a text that is made in this process; a text that takes more is made by the guarded worker."""

MAX_STEPS_TOGETHER = 20 * MAX_STEPS
"""The most steps of all texts of one template that take more than `EASY_STEPS`."""

MAX_DIGITS = 1_000
"""The longest integer, in decimal digits."""

MAX_LEVELS = 50
"""The most includes, imports, parents, macro calls, block calls and recursive loops inside each other."""

MAX_DEPTH = 100
"""The most lists and tables inside each other."""

CALL_STEPS = 10
"""The steps of a call, an include or a block, beside those of its body."""

LONG = 256
"""From this length on, in characters, work on a text is counted. What shorter texts take is part of a step."""

_LARGEST = 10**MAX_DIGITS
_MAX_BITS = _LARGEST.bit_length()


class LimitError(SecurityError):
    """A template passed a limit."""


class OutOfSteps(LimitError):
    """A text takes more steps than it was given."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the template takes more than {most:,} steps")


class TooDeep(LimitError):
    """Includes, calls or blocks inside each other passed `MAX_LEVELS`."""


class Meter:
    """Counts what one text takes. It belongs to one environment, which makes one counted text at a time."""

    __slots__ = ("left", "level", "most")

    def __init__(self) -> None:
        self.begin(MAX_STEPS)

    def begin(self, steps: int) -> None:
        """Start to count for a new text, which may take `steps`."""
        self.most = self.left = steps
        self.level = 0

    @property
    def spent(self) -> int:
        """The steps that the present text has taken so far."""
        return self.most - self.left

    def spend(self, steps: int) -> None:
        """Count steps, before they are taken; raises OutOfSteps. What was spent stays spent, whoever catches it."""
        self.left -= steps
        if self.left < 0:
            raise OutOfSteps(self.most)

    def enter(self, steps: int) -> None:
        """Begin a call, an include or the like, whose body takes `steps`; raises OutOfSteps or TooDeep."""
        self.level += 1
        if self.level > MAX_LEVELS:
            raise TooDeep(f"more than {MAX_LEVELS} includes, calls and blocks inside each other")
        self.spend(steps + CALL_STEPS)

    def leave(self) -> None:
        """End what the last `enter` began."""
        self.level -= 1

    def produce(self, characters: int) -> None:
        """Count the characters of a text before it is made; raises LimitError if they are too many."""
        if characters > LONG:
            if characters > MAX_CHARACTERS:
                raise LimitError(f"the text is longer than {MAX_CHARACTERS:,} characters")
            self.spend(characters >> 4)

    def read(self, text: str) -> str:
        """Return `text`, whose characters are counted because something reads all of them."""
        if len(text) > LONG:
            self.spend(len(text) >> 4)
        return text

    def concatenated(self, pieces: Iterable[str]) -> str:
        """Return the joined pieces of a text; raises LimitError if it is too long."""
        rest = iter(pieces)
        text = "".join(islice(rest, 256))  # nearly every text ends here, at full speed
        for piece in rest:
            whole, length = [text, piece], len(text) + len(piece)
            for more in rest:
                whole.append(more)
                length += len(more)
                if length > MAX_CHARACTERS:
                    break
            self.produce(length)
            return "".join(whole)
        if len(text) > LONG:
            self.produce(len(text))
        return text


def integer(number: int) -> int:
    """Return an integer; raises LimitError if it has too many digits."""
    if -_LARGEST < number < _LARGEST:
        return number
    raise LimitError(f"a number has more than {MAX_DIGITS:,} digits")


def product(left: int, right: int) -> int:
    """Return a product of integers; raises LimitError, before multiplying, if it has too many digits."""
    if left.bit_length() + right.bit_length() > _MAX_BITS + 1:
        raise LimitError(f"a number has more than {MAX_DIGITS:,} digits")
    return integer(left * right)


def counted(meter: Meter, items: Iterable[object], steps: int) -> Iterator[object]:
    """Yield items; each one counts `steps`."""
    for item in items:
        meter.spend(steps)
        yield item
