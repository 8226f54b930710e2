"""Tests of the limits: what is counted, and when it is too much."""

from __future__ import annotations

import pytest

from qwenbuild.specs.limits import (
    CALL_STEPS,
    LONG,
    MAX_CHARACTERS,
    MAX_DIGITS,
    MAX_LEVELS,
    MAX_STEPS,
    LimitError,
    Meter,
    OutOfSteps,
    TooDeep,
    counted,
    integer,
    product,
)


@pytest.fixture
def meter() -> Meter:
    return Meter()


def test_a_meter_lets_a_text_take_exactly_its_steps(meter: Meter) -> None:
    """The next step is too much, and so is each one after it."""
    meter.begin(10)
    meter.spend(10)
    assert meter.spent == 10
    for _ in range(2):
        with pytest.raises(OutOfSteps, match="the template takes more than 10 steps"):
            meter.spend(1)
    meter.begin(10)
    meter.spend(10)


def test_a_meter_counts_levels(meter: Meter) -> None:
    """Calls one after the other are fine, calls inside each other have a limit."""
    for _ in range(2 * MAX_LEVELS):
        meter.enter(1)
        meter.leave()
    assert meter.spent == 2 * MAX_LEVELS * (1 + CALL_STEPS)
    for _ in range(MAX_LEVELS):
        meter.enter(1)
    with pytest.raises(TooDeep, match="more than 50 includes, calls and blocks inside each other"):
        meter.enter(1)


def test_short_texts_are_free_and_long_ones_count(meter: Meter) -> None:
    """Sixteen characters of a long text are one step."""
    meter.produce(LONG)
    meter.read("x" * LONG)
    assert meter.spent == 0
    meter.produce(1600)
    meter.read("x" * 1600)
    assert meter.spent == 200
    meter.produce(MAX_CHARACTERS)
    with pytest.raises(LimitError, match="the text is longer than 100,000 characters"):
        meter.produce(MAX_CHARACTERS + 1)


@pytest.mark.parametrize("pieces", [1, 2, 255, 256, 257, 258, 1000])
def test_pieces_are_joined_up_to_the_limit(meter: Meter, pieces: int) -> None:
    """The limit is exact for any number of pieces."""
    fits = ["x"] * (pieces - 1) + ["y" * (MAX_CHARACTERS - pieces + 1)]
    assert meter.concatenated(iter(fits)) == "".join(fits)
    with pytest.raises(LimitError, match="longer than 100,000"):
        meter.concatenated(iter([*fits, "x"]))


def test_endless_pieces_end(meter: Meter) -> None:
    """Pieces are taken only until the text is too long."""
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield "x"

    with pytest.raises(LimitError):
        meter.concatenated(endless())  # type: ignore[arg-type]
    assert taken == MAX_CHARACTERS + 1


def test_integers_have_a_thousand_digits_at_most() -> None:
    """A product is refused before it is computed."""
    largest = 10**MAX_DIGITS - 1
    assert integer(largest) == largest
    assert integer(-largest) == -largest
    assert product(10 ** (MAX_DIGITS - 1), 9) == 9 * 10 ** (MAX_DIGITS - 1)
    for number in (largest + 1, -largest - 1):
        with pytest.raises(LimitError, match="a number has more than 1,000 digits"):
            integer(number)
    for factor in (10**500, 2**10_000_000):
        with pytest.raises(LimitError, match="a number has more than 1,000 digits"):
            product(factor, factor)


def test_items_are_counted_when_they_are_taken(meter: Meter) -> None:
    """An endless iterator ends, and one that is not used costs nothing."""
    meter.begin(MAX_STEPS)
    items = counted(meter, iter(int, 1), 1000)
    assert meter.spent == 0
    assert next(items) == 0
    assert meter.spent == 1000
    with pytest.raises(OutOfSteps):
        list(items)
