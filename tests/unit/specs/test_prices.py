"""Prices: a project may raise them; only the user may lower them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qwenbuild.specs.project import find
from tests.support.workspace import Workspace


def price(project: Workspace, model: str, stated: str, *, trusted: bool = False) -> tuple[Decimal, list[str]]:
    """Return the price of a model in Beijing that counts, and what was refused."""
    project.write({"qwenbuild.toml": f'[models."{model}"]\nprice_cny = {{ beijing = "{stated}" }}\n'})
    found = find(project.root, {"QWENBUILD_TRUST_PROJECT": "1" if trusted else ""})
    return found.catalogue.model(model).price_cny["beijing"], [item.value for item in found.trust.refused]


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
    assert (model.prompt_limit, dict(model.price_cny)) == (
        7, {"beijing": Decimal(9), "singapore": Decimal("0.220177")}
    )  # fmt: skip
