from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import qwenbuild

PUBLIC = {
    "qwenbuild": "Engine Event Finished Options Plan QwenbuildError Step Verdict __version__ load",
    # What a plugin needs: the provider contract, the errors that a provider raises, and the request.
    "qwenbuild.provider": "Detached Journal Price Provider Rendered Resumable Settings Stopped broken reject_unknown",
    # `Place` and the names after it moved to `qwenbuild.problems`. Plugins written before that import them from here.
    "qwenbuild.errors": (
        "QwenbuildError UsageError ProjectError TooManyRenders BudgetExceeded LockError ProjectBusy StateError "
        "StoreError OutputError RemoteError RemoteUnreachable ProviderError Refused AccountError Throttled "
        "ServiceFault Unreachable BadImage AnswerLost Place Problem columns did_you_mean listing nearest visible"
    ),
    "qwenbuild.request": "Request Size Submission",
    "qwenbuild.catalogue": "Catalogue Model builtin",
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in PUBLIC for name in PUBLIC[module].split()])
def test_a_public_name_can_be_imported(module: str, name: str) -> None:
    """Scripts and plugins depend on these names."""
    assert hasattr(importlib.import_module(module), name)


def test_all_names_of_the_package_are_public() -> None:
    """`from qwenbuild import *` gives the documented names."""
    assert sorted(qwenbuild.__all__) == PUBLIC["qwenbuild"].split()


def test_a_moved_name_is_the_same_object() -> None:
    """A plugin's `Problem` is the one that qwenbuild shows."""
    errors, problems = importlib.import_module("qwenbuild.errors"), importlib.import_module("qwenbuild.problems")
    moved = PUBLIC["qwenbuild.errors"].partition("AnswerLost ")[2].split()
    assert [getattr(errors, name) for name in moved] == [getattr(problems, name) for name in moved]


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The message names module and attribute."""
    with pytest.raises(AttributeError) as caught:
        qwenbuild.nothing  # noqa: B018, the access is the test
    assert str(caught.value) == "module 'qwenbuild' has no attribute 'nothing'"


def test_importing_the_package_loads_no_other_module() -> None:
    """Names are loaded when they are first used."""
    script = (
        "import sys, qwenbuild\n"
        "print(sorted(name for name in sys.modules if name.startswith('qwenbuild')))\n"
        "qwenbuild.QwenbuildError\n"
        "print('qwenbuild.errors' in sys.modules, 'qwenbuild.engine.engine' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed == "['qwenbuild', 'qwenbuild.version']\nTrue False\n"
