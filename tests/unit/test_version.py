from __future__ import annotations

import re
from importlib import metadata

from qwenbuild.version import __version__


def test_the_version_is_that_of_the_distribution() -> None:
    """The build reads this module, so the installed metadata have the same version."""
    assert metadata.version("qwenbuild") == __version__


def test_the_version_is_a_semantic_version() -> None:
    """Three numbers, perhaps with a pre-release part."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", __version__)
