"""The view of `cost`: what was billed, and what is not certain."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.engine.costs import Bill, Costs
from qwenbuild.terminal import cost_view
from qwenbuild.terminal.style import local_time

NOTHING = Costs(Path("/l/ledger.sqlite3"), True, [], Bill("in all"), Bill("unknown"), Bill("in flight"))
BILLED = Costs(
    NOTHING.ledger, True,
    [Bill("s/a\x1b", 11, {"CNY": Decimal("2.20"), "USD": Decimal(1)}, assumed=1), Bill("", 1, {}, unpriced=1)],
    Bill("in all", 12, {"CNY": Decimal("2.20"), "USD": Decimal(1)}, 1, 1), Bill("unknown", 1, {"CNY": Decimal("0.2")}),
    Bill("in flight", 2, {"CNY": Decimal("0.4")}), 1_790_000_000.0,
)  # fmt: skip


def shown(costs: Costs, capsys: pytest.CaptureFixture[str], *, as_json: bool = False) -> list[str]:
    cost_view.show(costs, "image", as_json=as_json)
    return capsys.readouterr().out.splitlines()


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Currencies are not added up. What was assumed, or not recorded, is marked. What is not certain comes last."""
    since = local_time(1_790_000_000.0)
    assert shown(BILLED, capsys) == [
        "2.20 CNY + 1.00 USD  s/a\\x1b  (11 images, 1 at an assumed price)",
        "      price unknown  –  (1 image, 1 without a price on record)",
        f"2.20 CNY + 1.00 USD  in all  (12 images, 1 at an assumed price, 1 without a price on record since {since})",
        "  0.20 CNY  may have been billed: 1 request without an answer; see `qwenbuild tasks`",
        "  0.40 CNY  in flight: 2 requests; `qwenbuild build` collects the images",
    ]


def test_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger without charges, and no ledger at all, are told apart."""
    assert shown(NOTHING, capsys) == ["nothing was billed"]
    none = replace(NOTHING, ledger=Path("/l\x1b"), is_kept=False)
    assert shown(none, capsys) == ["nothing was billed: there is no ledger yet at /l\\x1b"]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Groups come first; the total and what is not certain are always there."""
    tables = [json.loads(line) for line in shown(BILLED, capsys, as_json=True)]
    assert tables[0] == {
        "event": "cost", "kind": "image", "name": "s/a\x1b", "images": 11,
        "amounts": {"CNY": "2.20", "USD": "1"}, "assumed": 1, "unpriced": 0,
    }  # fmt: skip
    assert [table["kind"] for table in tables] == ["image", "image", "total", "unknown", "in_flight"]
    assert [json.loads(line)["images"] for line in shown(NOTHING, capsys, as_json=True)] == [0, 0, 0]
