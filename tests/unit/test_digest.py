from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.digest import canonical_json, sha256

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def _reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed_keys(value[key]) for key in reversed(value)}
    return [_reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_canonical_json_sorts_keys_and_writes_text_as_it_is() -> None:
    """Keys are sorted, there are no spaces, and only the escapes that JSON requires."""
    assert canonical_json({"b": [1, 2.5, None], "a": '海报 "x"\n\x00'}) == (
        '{"a":"海报 \\"x\\"\\n\\u0000","b":[1,2.5,null]}'.encode()
    )


@given(_JSON)
def test_canonical_json_means_the_same_value(value: Any) -> None:
    """Reading canonical JSON and writing it again gives the same value and the same bytes."""
    written = canonical_json(value)
    assert json.loads(written) == value
    assert canonical_json(json.loads(written)) == written


@given(_JSON)
def test_canonical_json_does_not_depend_on_insertion_order(value: Any) -> None:
    """Equal dictionaries give equal bytes."""
    assert canonical_json(_reversed_keys(value)) == canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": float("-inf")}])
def test_canonical_json_refuses_numbers_that_json_lacks(value: object) -> None:
    """NaN and infinities raise ValueError."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_canonical_json_refuses_unpaired_surrogates() -> None:
    """A text with an unpaired surrogate raises UnicodeEncodeError."""
    with pytest.raises(UnicodeEncodeError):
        canonical_json(["\ud800"])


def test_sha256_is_lower_case_hex() -> None:
    """The digest of no bytes is the well-known value."""
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
