"""Prices: a project may raise them; only the user may lower them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qwenbuild.catalogue import Model
from qwenbuild.errors import ProjectError
from qwenbuild.regions import REGIONS
from qwenbuild.request import Size
from qwenbuild.specs.project import find
from tests.support.workspace import Workspace


def amount(model: Model, region: str, size: Size | None = None) -> Decimal:
    """Return the price of an image, which is known."""
    found = model.price(region, size)
    assert found is not None
    return found


def price(project: Workspace, model: str, stated: str, *, trusted: bool = False) -> tuple[Decimal, list[str]]:
    """Return the price of a model in Beijing that counts, and what was refused."""
    project.write({"qwenbuild.toml": f'[models."{model}"]\nprice_cny = {{ beijing = "{stated}" }}\n'})
    found = find(project.root, {"QWENBUILD_TRUST_PROJECT": "1" if trusted else ""})
    return amount(found.catalogue.model(model), "beijing"), [item.value for item in found.trust.refused]


@pytest.mark.parametrize(
    ("model", "stated", "counts"),
    [
        ("qwen-image-plus", "0", "0.20"), ("qwen-image-plus", "0.19", "0.20"), ("qwen-image-plus", "0.20", "0.20"),
        ("qwen-image-plus", "3", "3"), ("mine", "0", "0.20"), ("mine", "0.19", "0.20"), ("mine", "0.5", "0.5"),
    ],
)  # fmt: skip
def test_a_price_below_the_catalogues_needs_approval(project: Workspace, model: str, stated: str, counts: str) -> None:
    """Until then the catalogue's price counts: else a plan says 0, and the budget means nothing."""
    lowered = Decimal(stated) < Decimal("0.20")
    refused = [f"{model} in beijing: {stated} CNY"] if lowered else []
    assert price(project, model, stated) == (Decimal(counts), refused)
    assert price(project, model, stated, trusted=True) == (Decimal(stated), [])


def test_other_facts_of_the_model_stay(project: Workspace) -> None:
    """The correction changes the price alone, and only where it is too low."""
    config = '[models.mine]\nprompt_limit = 7\nprice_cny = { beijing = "9", singapore = "0" }\n'
    project.write({"qwenbuild.toml": config})
    model = find(project.root).catalogue.model("mine")
    assert (model.prompt_limit, amount(model, "beijing"), amount(model, "singapore")) == (
        7, Decimal(9), Decimal("0.220177")
    )  # fmt: skip


def test_prices_in_short(project: Workspace) -> None:
    """`[prices]` has a price for all regions, for some, or by area; it needs approval like any other."""
    stated = """[prices]
qwen-image-plus = 3
"qwen-image-2.0" = { beijing = "1", singapore = [{ up_to_pixels = 1_000_000, price = "0.1" }, { price = "2" }] }
"""
    project.write({"qwenbuild.toml": stated})
    found = find(project.root)
    plus, second = found.catalogue.model("qwen-image-plus"), found.catalogue.model("qwen-image-2.0")
    assert [amount(plus, region) for region in REGIONS] == [Decimal(3)] * len(REGIONS)
    large, small = Size(2048, 2048), Size(1000, 1000)
    prices = [amount(second, region, size) for region in ("beijing", "singapore") for size in (small, large)]
    assert prices == [Decimal(1), Decimal(1), Decimal("0.256873"), Decimal(2)]
    assert [item.value for item in found.trust.refused] == [
        "qwen-image-2.0 in singapore: 0.1 CNY up to 1,000,000 pixels, 2 CNY above"
    ]
    assert (plus.price_about, plus.price_source) == (False, "")


def test_a_price_by_area_is_compared_area_by_area(project: Workspace) -> None:
    """A project may raise the price of large images, and the catalogue's price of small ones still counts."""
    stated = '[prices."qwen-image-3.0-pro"]\nbeijing = [{ up_to_pixels = 1_000_000, price = "0.2" }, { price = 9 }]\n'
    project.write({"qwenbuild.toml": stated})
    found = find(project.root)
    model = found.catalogue.model("qwen-image-3.0-pro")
    sizes = [Size(1000, 1000), Size(1500, 1500), Size(2048, 2048)]
    assert [amount(model, "beijing", size) for size in sizes] == [Decimal("0.25"), Decimal(9), Decimal(9)]
    assert found.trust.refused[0].claim == (
        "the price of qwen-image-3.0-pro in beijing would be 0.2 CNY up to 1,000,000 pixels, 9 CNY above "
        "instead of the catalogue's 0.25 CNY up to 1,000,000 pixels, 9 CNY above"
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('[prices]\nqwen-image-pls = 1\n', 'error: the price of an unknown model: "qwen-image-pls"'),
        ('[models.mine]\nprice_cny = { beijing = 1 }\n[prices]\nmine = 1\n',
         "error: the price of mine stands here and in price_cny"),
        ('[prices]\nqwen-image = []\n',
         "error: qwen-image: the last price, and only this one, must stand without up_to_pixels"),
        ('[prices]\nqwen-image = [{ price = 1 }, { price = 2 }]\n',
         "error: qwen-image: the last price, and only this one, must stand without up_to_pixels"),
        ('[prices]\nqwen-image = [{ up_to_pixels = 9, price = 1 }, { up_to_pixels = 9, price = 1 }, { price = 2 }]\n',
         "error: qwen-image: up_to_pixels must grow from price to price"),
        ('[prices]\nqwen-image = "cheap"\n', "error: qwen-image: wrong type, a text"),
        ('[prices]\nqwen-image = { bejing = 1 }\n', 'error: unknown key "bejing" in [prices.qwen-image]'),
        ('[prices]\nqwen-image = [{ price = 1, prise = 1 }]\n', 'error: unknown key "prise" in [prices.qwen-image.0]'),
    ],
)  # fmt: skip
def test_a_wrong_price(project: Workspace, config: str, message: str) -> None:
    """The message names the model, and shows the place in the config."""
    project.write({"qwenbuild.toml": config})
    with pytest.raises(ProjectError) as caught:
        find(project.root)
    lines = str(caught.value).splitlines()
    assert lines[0] == message
    assert lines[1].startswith(" --> qwenbuild.toml:")
