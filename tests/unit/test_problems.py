"""Problems and texts as people read them."""

from __future__ import annotations

import pytest

from qwenbuild.problems import plain


@pytest.mark.parametrize(
    ("value", "expected"), [(True, "true"), (False, "false"), (1, "1"), (-1.5, "-1.5"), ("a b", "a b"), ("", "")]
)
def test_a_plain_value_is_written_as_in_toml(value: object, expected: str) -> None:
    """Truth values are lower-case; texts have no quotes."""
    assert plain(value) == expected
