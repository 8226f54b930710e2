"""The options of one command are a frozen record."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

import qwenbuild
from qwenbuild.options import Options


def test_options_are_part_of_the_api() -> None:
    """`qwenbuild.Options` is this record."""
    assert qwenbuild.Options is Options


def test_defaults_leave_every_choice_to_the_config() -> None:
    """Without options every cell is selected, no flag is set, and the config decides the rest."""
    values = {field.name: getattr(Options(), field.name) for field in dataclasses.fields(Options)}
    assert {name for name, value in values.items() if value not in ((), False, None)} == set()
    assert {name for name, value in values.items() if value is None} == {
        "shard", "profile", "provider", "region", "interface", "executor", "jobs", "resubmit", "remote", "max_renders",
        "max_cost",
    }  # fmt: skip


@pytest.mark.parametrize(
    "asked", [Options(select=["x"]), Options(tags=["x"]), Options(where=["x=1"]), Options(exclude=["x"])]
)
def test_a_selection_is_partial(asked: Options) -> None:
    """Each way to choose cells, and a shard, leaves other cells out."""
    assert (asked.is_selecting, asked.is_partial) == (True, True)
    assert (Options(shard=(1, 2)).is_selecting, Options(shard=(1, 2)).is_partial) == (False, True)
    assert (Options().is_selecting, Options().is_partial) == (False, False)


def test_values_in_place_of_none() -> None:
    """What was asked for stays; an empty text, such as that of an unset variable of a script, asks for nothing."""
    asked = Options(provider="", resubmit=False, jobs=3)
    assert asked.or_else(provider="null", resubmit=True, jobs=1, max_cost=Decimal(5)) == Options(
        provider="null", resubmit=False, jobs=3, max_cost=Decimal(5)
    )


def test_options_are_frozen() -> None:
    """A command's options can't change while it runs."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().force = True  # type: ignore[misc]  # the assignment is what the test is about
