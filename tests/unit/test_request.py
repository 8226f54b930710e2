from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.digest import canonical_json, sha256
from qwenbuild.parameters import as_text
from qwenbuild.request import KEY_SCHEMA, SEED_MAX, Request, Size, derived_seed

PUPPIES = Request("dashscope", "qwen-image-plus", "Three puppies.", "blurry", Size(1328, 1328), 1, False, False)

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES = _TEXTS | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
_SIZES = st.builds(Size, st.integers(1, 9999), st.integers(1, 9999))
_REQUESTS = st.builds(
    Request, _TEXTS, _TEXTS, _TEXTS, _TEXTS, _SIZES, st.integers(0, SEED_MAX), st.booleans(), st.booleans(), _TEXTS,
    st.dictionaries(_TEXTS, st.recursive(_VALUES, st.lists, max_leaves=3), max_size=2).map(as_text),
)  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (PUPPIES, "c1b17cb743f35adb46c6ee41ceb454fb1048208633db463f3ea95244cb6856ed"),
        (
            PUPPIES._replace(prompt='一起来玩球吧！\n“嘿嘿” \\ "é" \u2028\x7f', negative_prompt=""),
            "f006f657e42d97d0a539cded47b65ebfb2b4381b4fe948ea2adabfa9531f726e",
        ),
        (
            PUPPIES._replace(family="draft-1", label="puppies/poster[seed=1]"),
            "631caaaf9be605ecee5f31b631f5c9eba9d306cdd9443c0aec3e18e86d6f551d",
        ),
        (
            PUPPIES._replace(model="qwen-image-2.0", size=Size(2688, 1536), seed=SEED_MAX, prompt_extend=True),
            "96b962fd62d902bf695a44a0a4b046820bb477add56f9c149a0f378c59a48856",
        ),
        (PUPPIES._replace(seed=0, watermark=True), "7430eb433673baa274b9b4809e6fd0e4330f8228517c827193b734b243981df1"),
        (
            PUPPIES._replace(parameters='{"enable_thinking":false,"style":{"names":["水墨",1.5]}}'),
            "386e3e9689b2e8eac70a4d2ff6c026320430a2f8c64fdffac47ec2b6b61b0f39",
        ),
    ],
    ids=["plain", "text", "label", "fields", "flags", "parameters"],
)
def test_golden_keys(request_: Request, key: str) -> None:
    """These keys never change, because paid images are found under them."""
    assert request_.key == key


@given(_REQUESTS)
def test_a_key_is_the_hash_of_canonical_json(request: Request) -> None:
    """The quick computation gives the same digest as the plain one."""
    assert request.key == sha256(canonical_json({"schema": KEY_SCHEMA, **request.as_dict()}))


@given(_REQUESTS, st.data())
def test_keys_are_equal_exactly_when_requests_are(request: Request, data: st.DataObject) -> None:
    """Any difference between two requests gives different keys."""
    other = data.draw(_REQUESTS)
    assert (request.key == other.key) is (request == other)
    name = data.draw(st.sampled_from(Request._fields))
    changed = request._replace(**{name: getattr(other, name)})
    assert (request.key == changed.key) is (request == changed)


@given(_TEXTS, _TEXTS)
def test_texts_do_not_run_into_each_other(one: str, other: str) -> None:
    """If text moves from one field to the next, the key changes."""
    joined = PUPPIES._replace(prompt=one + other, negative_prompt="")
    split = PUPPIES._replace(prompt=one, negative_prompt=other)
    assert (joined.key == split.key) is (joined == split)


@given(_REQUESTS)
def test_a_request_survives_json(request: Request) -> None:
    """State and provenance hold requests as JSON."""
    assert Request.from_dict(json.loads(json.dumps(request.as_dict()))) == request


@pytest.mark.parametrize(
    "change",
    [
        {"size": "big"},
        {"size": None},
        {"size": "0*5"},
        {"extra": 1},
        {"prompt": ...},
        {"prompt": 1},
        {"seed": True},
        {"watermark": 0},
        {"parameters": {}},
        {"parameters": '{"a":1}'},
        {"parameters": {"a": None}},
    ],
)
def test_a_wrong_table_is_refused(change: dict[str, Any]) -> None:
    """A field is unknown or missing, or the size is wrong."""
    fields = {**PUPPIES.as_dict(), **change}
    with pytest.raises(ValueError, match=r"not a|the parameters|can't be sent"):
        Request.from_dict({name: value for name, value in fields.items() if value is not ...})


def test_a_request_without_a_size_is_refused() -> None:
    """A missing size raises KeyError."""
    with pytest.raises(KeyError):
        Request.from_dict({})


def test_an_unpaired_surrogate_has_no_key() -> None:
    """Such a prompt raises UnicodeEncodeError; it could not be sent either."""
    with pytest.raises(UnicodeEncodeError):
        assert PUPPIES._replace(prompt="\ud83d").key


def test_a_request_without_parameters_is_the_request_of_earlier_versions() -> None:
    """Keys, provenance and states of earlier versions know no parameters."""
    assert "parameters" not in PUPPIES.as_dict()
    assert PUPPIES._replace(parameters='{"a":1}').as_dict()["parameters"] == {"a": 1}


def test_only_a_label_that_is_drawn_is_part_of_the_key() -> None:
    """A request without a label has the same key after its image is renamed."""
    assert "label" not in PUPPIES.as_dict()
    assert PUPPIES._replace(label="x").key != PUPPIES.key


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1328*1328", Size(1328, 1328)),
        ("1664x928", Size(1664, 928)),
        ("1664X928", Size(1664, 928)),
        ("1664×928", Size(1664, 928)),
        ("1*1", Size(1, 1)),
        ("999999x1", Size(999999, 1)),
        ("1328", None),
        ("1328*", None),
        ("0*5", None),
        ("01*5", None),
        ("-1*5", None),
        ("1000000x1", None),
        ("1328 * 1328", None),
        ("1328*1328\n", None),
        ("١٣٢٨*1328", None),
        ("1:1", None),
        ("", None),
    ],
)
def test_sizes_are_parsed(text: str, size: Size | None) -> None:
    """Names use `x`, the wire `*`; some people write `×` or `X`. Other texts are no sizes."""
    assert Size.parse(text) == size


@given(_SIZES)
def test_a_written_size_is_parsed(size: Size) -> None:
    """Both spellings give the size again, and the ratio is the size's own."""
    assert (Size.parse(str(size)), Size.parse(size.wire)) == (size, size)
    width, height = map(int, size.ratio.split(":"))
    assert width * size.height == height * size.width


def test_golden_seeds() -> None:
    """The seed of an image that states none never changes."""
    assert [derived_seed(name) for name in ("puppies/poster", "icons/icon", "a/b", "海报/猫")] == [
        1162093713,
        670298892,
        1095556544,
        1615938011,
    ]


@given(_TEXTS)
def test_a_derived_seed_is_in_the_services_range(name: str) -> None:
    """This holds for every name."""
    assert 0 <= derived_seed(name) <= SEED_MAX
