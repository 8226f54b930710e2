from __future__ import annotations

import tomllib
from decimal import Decimal
from importlib import resources
from typing import Any

import pytest

from qwenbuild.catalogue import BadDeclaration, Catalogue, Model, OpenCatalogue, builtin
from qwenbuild.errors import ProjectError
from qwenbuild.model_tables import ModelTable
from qwenbuild.request import Size
from qwenbuild.specs.project import find
from tests.support.workspace import Workspace

FIVE = {"16:9": "1664*928", "4:3": "1472*1104", "1:1": "1328*1328", "3:4": "1104*1472", "9:16": "928*1664"}
FIXED = ["qwen-image-max", "qwen-image-max-2025-12-30", "qwen-image-plus", "qwen-image-plus-2026-01-09", "qwen-image"]
ANY = [
    "qwen-image-2.0", "qwen-image-2.0-pro", "qwen-image-2.0-2026-03-03", "qwen-image-2.0-pro-2026-03-03",
    "qwen-image-2.0-pro-2026-04-22", "qwen-image-2.0-pro-2026-06-22", "qwen-image-2.1-pro", "qwen-image-3.0",
    "qwen-image-3.0-pro",
]  # fmt: skip


def declared(table: dict[str, Any], name: str = "my-model") -> Model:
    return builtin().extended({name: table}).model(name)


def wrong_size(model: str, text: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        builtin().model(model).size(text)
    return str(caught.value)


def test_the_vendors_models() -> None:
    """Each model has interfaces, a pace and prices; `about` marks prices that only third parties state."""
    rows = {
        name: (
            ",".join(facts.interfaces), facts.submits_per_s, facts.concurrent,
            *(str(facts.price(region)) for region in ("beijing", "singapore")), *["about"] * facts.price_about,
        ) for name, facts in builtin().models.items()
    }  # fmt: skip
    assert rows == {
        "qwen-image-max": ("sync", 2 / 60, 0, "0.50", "0.550443"),
        "qwen-image-max-2025-12-30": ("sync", 2 / 60, 0, "0.50", "0.550443"),
        "qwen-image-plus": ("sync,async", 2.0, 2, "0.20", "0.220177"),
        "qwen-image-plus-2026-01-09": ("sync", 2.0, 0, "0.20", "0.220177"),
        "qwen-image": ("sync,async", 2.0, 2, "0.25", "0.256873"),
        "qwen-image-2.0": ("sync", 2.0, 0, "0.20", "0.256873"),
        "qwen-image-2.0-pro": ("sync", 2 / 60, 0, "0.50", "0.550443"),
        "qwen-image-2.0-2026-03-03": ("sync", 2.0, 0, "0.20", "0.256873", "about"),
        "qwen-image-2.0-pro-2026-03-03": ("sync", 2 / 60, 0, "0.50", "0.550443", "about"),
        "qwen-image-2.0-pro-2026-04-22": ("sync", 2 / 60, 0, "0.50", "0.550443", "about"),
        "qwen-image-2.0-pro-2026-06-22": ("sync", 2 / 60, 0, "0.50", "0.550443", "about"),
        "qwen-image-2.1-pro": ("sync", 2 / 60, 0, "None", "None"),
        "qwen-image-3.0": ("sync", 2.0, 0, "0.22", "0.220177", "about"),
        "qwen-image-3.0-pro": ("sync", 2 / 60, 0, "0.50", "0.550443", "about"),
    }
    assert all(facts.price_source for facts in builtin().models.values() if facts.price_cny)


def test_a_price_depends_on_the_area() -> None:
    """A limit belongs to the lower price; without a size the default one counts."""
    pro = builtin().model("qwen-image-3.0-pro")
    prices = [str(pro.price("beijing", size)) for size in (Size(512, 512), Size(1500, 1500), Size(1501, 1500), None)]
    assert prices == ["0.25", "0.25", "0.50", "0.50"]
    assert pro.price("frankfurt") is None
    assert builtin().highest_price("frankfurt") == Decimal("0.550443")
    assert [builtin().lowest_price(region) for region in ("singapore", "frankfurt")] == [
        Decimal("0.220177"), Decimal("0.20")
    ]  # fmt: skip


def test_a_side_may_be_eight_times_the_other() -> None:
    """Longer images of the 3.0 models are refused before they are sent."""
    assert builtin().model("qwen-image-3.0").size("4096*512") == Size(4096, 512)
    assert wrong_size("qwen-image-3.0", "4104*512") == "qwen-image-3.0 takes ratios from 1:8 to 8:1"


def test_prompt_limits() -> None:
    """A prompt has at most 800 characters, or 1,300 since 2.0; a negative prompt has at most 500. 2.1 takes none."""
    limits = {name: (facts.prompt_limit, facts.negative_prompt_limit) for name, facts in builtin().models.items()}
    assert limits == {
        **dict.fromkeys(FIXED, (800, 500)),
        **dict.fromkeys(ANY, (1300, 500)),
        "qwen-image-2.1-pro": (1300, 0),
    }


@pytest.mark.parametrize("model", FIXED)
def test_fixed_sizes(model: str) -> None:
    """There are five sizes, each with two spellings and a ratio; the default is 16:9."""
    facts = builtin().model(model)
    assert [size.wire for size in facts.sizes] == list(FIVE.values())
    assert facts.default_size.wire == "1664*928"
    for ratio, wire in FIVE.items():
        assert [facts.size(text).wire for text in (ratio, wire, wire.replace("*", "x"))] == [wire] * 3
        assert facts.ratio(facts.size(wire)) == ratio


@pytest.mark.parametrize("model", ANY)
def test_any_sizes(model: str) -> None:
    """A size has 512² to 2,048² pixels; a ratio names its largest size."""
    facts = builtin().model(model)
    assert (facts.sizes, facts.default_size.wire) == ((), "2048*2048")
    ratios = {"16:9": "2688*1536", "4:3": "2336*1760", "1:1": "2048*2048", "3:4": "1760*2336", "9:16": "1536*2688"}
    assert {name: size.wire for name, size in facts.ratios.items()} == ratios
    for name, size in facts.ratios.items():
        assert facts.size(name) == size
        assert size.width * size.height <= 2048 * 2048
    assert facts.size("512x512") == Size(512, 512)
    assert facts.size("4096x1024") == Size(4096, 1024)
    assert facts.ratio(Size(1000, 500)) == "2:1"
    for text, pixels in (("511x512", "261,632"), ("2049x2048", "4,196,352"), ("1x2", "2")):
        assert wrong_size(model, text) == f"{model} takes 262,144 to 4,194,304 pixels in all; this has {pixels}"


@pytest.mark.parametrize("text", ["1472*1140", "1140*1472", "1024*1024", "1328*1329"])
def test_a_size_that_a_model_does_not_offer(text: str) -> None:
    """The message lists the offered sizes. Old clients still send 1472*1140, which the service refuses."""
    assert wrong_size("qwen-image-plus", text) == (
        'qwen-image-plus does not offer this size: it takes "16:9" (1664*928), "4:3" (1472*1104), "1:1" (1328*1328), '
        '"3:4" (1104*1472), "9:16" (928*1664)'
    )


@pytest.mark.parametrize(
    ("model", "text", "end"),
    [
        ("qwen-image-plus", "16:10", '"9:16" (928*1664); the nearest is "16:9"'),
        ("qwen-image-plus", "5:4", '"9:16" (928*1664); the nearest is "4:3"'),
        ("qwen-image-plus", "1:99", '"9:16" (928*1664); the nearest is "9:16"'),
        ("qwen-image-plus", "large", '"9:16" (928*1664)'),
        ("qwen-image-2.0", "16:10", '"9:16" (1536*2688), or any "width*height"; the nearest is "16:9"'),
    ],
)
def test_a_text_that_is_no_size(model: str, text: str, end: str) -> None:
    """The message lists the ratios, and the nearest one."""
    message = wrong_size(model, text)
    assert message.startswith('not a size: write "16:9"')
    assert message.endswith(end)


def test_a_ratio_with_the_sign_of_a_size() -> None:
    """`16x9` is no size of nine pixels in height, but a ratio."""
    for model in ("qwen-image-plus", "qwen-image-2.0"):
        ratio = builtin().model(model).ratios["16:9"].wire
        assert wrong_size(model, "16x9") == f'not a size: did you mean the ratio "16:9" ({ratio})?'


def test_an_unknown_model() -> None:
    """The message lists the known models, and the nearest one."""
    with pytest.raises(ValueError, match="known models") as caught:
        builtin().model("qwen-image-pls")
    assert str(caught.value) == (
        "known models: qwen-image-max, qwen-image-max-2025-12-30, qwen-image-plus, qwen-image-plus-2026-01-09, "
        "qwen-image, qwen-image-2.0, qwen-image-2.0-pro, qwen-image-2.0-2026-03-03, qwen-image-2.0-pro-2026-03-03, "
        "qwen-image-2.0-pro-2026-04-22, qwen-image-2.0-pro-2026-06-22, qwen-image-2.1-pro and 2 more; "
        'did you mean "qwen-image-plus"?'
    )


# --- declared models ---


def test_nothing_declared_is_the_same_catalogue() -> None:
    """`extended` makes no copy."""
    assert builtin().extended({}) is builtin()


def test_a_declared_model_has_defaults() -> None:
    """It has the five sizes, the sync interface, and no price."""
    facts = declared({})
    assert (facts.name, facts.interfaces, facts.sizes, facts.price_cny, facts.submits_per_s, facts.prompt_limit) == (
        "my-model", ("sync",), builtin().model("qwen-image").sizes, {}, 2.0, 800
    )  # fmt: skip


def test_a_declared_model_can_state_every_key() -> None:
    """Every key has an effect."""
    facts = declared(
        {
            "interfaces": ["async", "sync"], "sizes": ["1024*1024", "1664x928", "2048*1024"], "default_size": "2:1",
            "pixels": [1, 10**9], "prompt_limit": 100, "negative_prompt_limit": 0, "submits": "30/minute",
            "concurrent": 5, "price_cny": {"beijing": "0.1", "singapore": 2},
        }
    )  # fmt: skip
    assert facts.interfaces == ("async", "sync")
    assert facts.sizes == (Size(1024, 1024), Size(1664, 928), Size(2048, 1024))
    assert facts.default_size == Size(2048, 1024)
    assert {name: str(size) for name, size in facts.ratios.items()} == {
        "1:1": "1024x1024", "52:29": "1664x928", "16:9": "1664x928", "2:1": "2048x1024"
    }  # fmt: skip
    assert (facts.pixels, facts.prompt_limit, facts.negative_prompt_limit) == ((1, 10**9), 100, 0)
    assert (facts.submits_per_s, facts.concurrent) == (0.5, 5)
    assert (facts.price("beijing"), facts.price("singapore")) == (Decimal("0.1"), Decimal(2))


def test_a_known_model_keeps_the_keys_that_are_not_stated() -> None:
    """With a new price, the sizes stay as they are."""
    facts = declared({"price_cny": {"beijing": "9"}}, "qwen-image-2.0")
    before = builtin().model("qwen-image-2.0")
    assert (facts.sizes, facts.pixels, facts.prompt_limit, facts.price("beijing"), facts.price("singapore")) == (
        before.sizes, before.pixels, 1300, Decimal(9), None
    )  # fmt: skip
    assert builtin().model("qwen-image-2.0") is before


def test_a_model_of_any_size_has_its_own_limits() -> None:
    """The default size must be within them."""
    facts = declared({"sizes": "any", "pixels": [1, 1_000_000], "default_size": "1000*1000"})
    assert facts.size("1000*1000") == Size(1000, 1000)
    with pytest.raises(ValueError, match="1 to 1,000,000 pixels"):
        facts.size("1:1")


def complaint(project: Workspace, lines: str) -> str:
    """Return what is wrong with these lines of `[models.my-model]` in a project's config."""
    project.write({"qwenbuild.toml": f"[models.my-model]\n{lines}\n"})
    with pytest.raises(ProjectError) as caught:
        find(project.root)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "claim", "expected"),
    [
        ("interfaces = []", 'interfaces: must be a list of "sync", "async", or both', ""),
        ('interfaces = "sync"', 'interfaces: must be a list of "sync", "async", or both', ""),
        ("sizes = []", 'sizes: must be "fixed", "any", or a list such as ["1024*1024"]', ""),
        ('sizes = ["1:1"]', 'sizes: must be "fixed", "any", or a list such as ["1024*1024"]', ""),
        ("sizes = [5]", 'sizes: must be "fixed", "any", or a list such as ["1024*1024"]', ""),
        ('sizes = "all"', 'sizes: must be "fixed", "any", or a list such as ["1024*1024"]', ""),
        ("pixels = [1]",
         "pixels: must be the smallest and the largest number of pixels, such as [262144, 4194304]", ""),
        ("pixels = [true, 2]",
         "pixels: must be the smallest and the largest number of pixels, such as [262144, 4194304]", ""),
        ("pixels = [5, 2]", "pixels: must have the smallest number first, 1 or more", ""),
        ("pixels = [0, 2]", "pixels: must have the smallest number first, 1 or more", ""),
        ("default_size = 5", "default_size: wrong type, a whole number", "expected a text in quotes"),
        ('default_size = "512*512"',
         'model my-model: default_size: my-model does not offer this size: it takes "16:9" (1664*928), '
         '"4:3" (1472*1104), "1:1" (1328*1328), "3:4" (1104*1472), "9:16" (928*1664)', ""),
        ('prompt_limit = "800"', "prompt_limit: wrong type, a text", "expected a whole number"),
        ("prompt_limit = true", "prompt_limit: wrong type, true/false", "expected a whole number"),
        ("negative_prompt_limit = -1", "negative_prompt_limit is -1", "expected at least 0"),
        ("concurrent = 1.5", "concurrent: wrong type, a number", "expected a whole number"),
        ('submits = "2"', 'submits: must be a pace such as "2/second" or "30/minute"', ""),
        ('submits = "0/second"', 'submits: must be a pace such as "2/second" or "30/minute"', ""),
        ('submits = "2/hour"', 'submits: must be a pace such as "2/second" or "30/minute"', ""),
        ("submits = 2", 'submits: must be a pace such as "2/second" or "30/minute"', ""),
        ("price_cny = 1",
         'price_cny: must be a table such as { beijing = "0.20", singapore = "0.22" }', ""),
        ('price_cny = ["beijing"]',
         'price_cny: must be a table such as { beijing = "0.20", singapore = "0.22" }', ""),
        ('price_cny.beijing = "cheap"', "beijing: wrong type, a text", "expected a number"),
        ("price_cny.beijing = true", "beijing: wrong type, true/false", "expected a number"),
        ("price_cny.beijing = -1", "beijing is -1", "expected at least 0"),
        ('price_cny.beijing = "NaN"', 'beijing is "NaN"', "expected a number"),
        ("price_cny.beijing = inf", "beijing is Infinity", "expected a number"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_shown_in_its_place(project: Workspace, line: str, claim: str, expected: str) -> None:
    """The message says what the key takes; carets mark the value."""
    key, _, value = line.partition(" = ")
    assert complaint(project, line).splitlines() == [
        f"error: {claim}",
        f" --> qwenbuild.toml:2:{len(key) + 4}",
        "  |",
        f"2 | {line}",
        f"  | {' ' * (len(key) + 3)}{'^' * len(value)} {expected}".rstrip(),
    ]


@pytest.mark.parametrize(
    ("line", "claim", "hint"),
    [
        ("price = 1", 'unknown key "price" in [models.my-model]', 'did you mean "price_cny"?'),
        (
            "zzz = 1",
            'unknown key "zzz" in [models.my-model]',
            "known: interfaces, sizes, default_size, pixels, prompt_limit, negative_prompt_limit, submits, concurrent, "
            "price_cny, price_source, price_about, most_ratio, parameters, parameter_values",
        ),
        (
            "price_cny.bejing = 1",
            'unknown key "bejing" in [models.my-model.price_cny]',
            'did you mean "beijing"?',
        ),
        (
            "price_cny.tokyo = 1",
            'unknown key "tokyo" in [models.my-model.price_cny]',
            "known: singapore, beijing, virginia, hongkong, frankfurt",
        ),
    ],
)
def test_an_unknown_key_is_shown_with_the_nearest_known_one(
    project: Workspace, line: str, claim: str, hint: str
) -> None:
    """If none is near, the hint lists the known keys."""
    message = complaint(project, line).splitlines()
    assert (message[0], message[-1]) == (f"error: {claim}", f"  = hint: {hint}")


def test_all_problems_of_all_models_are_shown_at_once(project: Workspace) -> None:
    """If an item of a list is wrong, carets mark the item."""
    message = complaint(project, 'interfaces = ["sync", "grpc"]\n[models.b]\nconcurrent = -1')
    assert message == (
        'error: interfaces is "grpc"\n'
        " --> qwenbuild.toml:2:23\n"
        "  |\n"
        '2 | interfaces = ["sync", "grpc"]\n'
        "  |                       ^^^^^^ expected 'sync' or 'async'\n"
        "\n"
        "error: concurrent is -1\n"
        " --> qwenbuild.toml:4:14\n"
        "  |\n"
        "4 | concurrent = -1\n"
        "  |              ^^ expected at least 0"
    )


def test_a_default_size_must_fit_the_other_keys() -> None:
    """This also applies to a default size that is not stated."""
    with pytest.raises(BadDeclaration) as caught:
        declared({"sizes": "any", "pixels": [1, 9]})
    assert str(caught.value) == (
        "models.my-model.default_size: 2048x2048 no longer fits: my-model takes 1 to 9 pixels in all; "
        "this has 4,194,304"
    )


def test_the_catalogue_file_is_valid() -> None:
    """`builtin` trusts the file; a validated copy is the same."""
    tables = tomllib.loads(resources.files("qwenbuild").joinpath("catalogue.toml").read_text("utf-8"))["models"]
    assert Catalogue({}, "").extended(tables).models == builtin().models


def test_a_catalogue_is_dated() -> None:
    """The date is the day on which prices and limits were read."""
    assert isinstance(builtin(), Catalogue)
    assert builtin().date == "2026-10-11"


def test_a_server_of_ones_own_has_any_model() -> None:
    """Only what the project declares limits it. The vendor's catalogue describes the vendor's service."""
    tables = {"mine": ModelTable(sizes=["512*512"], prompt_limit=20), "qwen-image-plus": ModelTable(prompt_limit=9)}
    catalogue = OpenCatalogue(tables, "mine")
    unknown = catalogue.model("Qwen/Qwen-Image")
    assert catalogue.model("Qwen/Qwen-Image") is unknown
    assert [str(unknown.size(text)) for text in ("1:1", "16:9", "70*40", "8192x8192")] == [
        "1328x1328", "1664x928", "70x40", "8192x8192"
    ]  # fmt: skip
    assert (str(unknown.default_size), unknown.price("singapore"), unknown.prompt_limit) == ("1328x1328", None, 1 << 30)
    assert (catalogue.default_model, catalogue.model("mine").prompt_limit) == ("mine", 20)
    assert catalogue.model("qwen-image-plus").prompt_limit == 9
    assert catalogue.model("qwen-image-plus").size("70*40")
    with pytest.raises(ValueError, match="mine does not offer this size"):
        catalogue.model("mine").size("70*40")
    with pytest.raises(ValueError, match="other takes 1 to 67,108,864 pixels in all"):
        catalogue.model("other").size("8193x8192")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_what_no_model_is_called(name: str) -> None:
    """Any other text may be a model's name at such a server."""
    with pytest.raises(ValueError, match="a name has 1 to 200 characters that can be printed"):
        OpenCatalogue({}).model(name)
