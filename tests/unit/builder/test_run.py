"""The run: what the parts of one build share."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from qwenbuild.storage.state import State
from tests.support.runs import run_of
from tests.support.workspace import Workspace


def test_the_options_of_a_run_have_the_configs_values(project: Workspace, state: State) -> None:
    """A run's options hold the values that the build uses, whether they come from the user or the config."""
    config = 'provider = "null"\nresubmit = "always"\n[budget]\nmax_cost = "1.50"\n'
    project.write({"qwenbuild.toml": config, "specs/s.toml": '[image.a]\nprompt = "a"\n'})
    options = run_of(project.root, state).options
    assert (options.provider, options.resubmit, options.max_cost) == ("null", True, Decimal("1.50"))
    options = run_of(project.root, state, resubmit=False, max_cost=Decimal(9)).options
    assert (options.resubmit, options.max_cost) == (False, Decimal(9))


def test_a_run_is_frozen(project: Workspace, state: State) -> None:
    """No part of a build can change what the other parts see."""
    project.write({"qwenbuild.toml": 'provider = "null"\n', "specs/s.toml": '[image.a]\nprompt = "a"\n'})
    run = run_of(project.root, state)
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.begun_s = 0.0  # type: ignore[misc]  # the assignment is what the test is about
