"""The charges of a ledger: what was billed, what may have been, and what will be."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from qwenbuild.errors import LedgerError
from qwenbuild.request import Request, Size
from qwenbuild.storage.charges import Standing, charges
from qwenbuild.storage.claims import ASSUMED, Intent, Row
from qwenbuild.storage.ledger import Ledger
from qwenbuild.storage.ledger_file import FILE


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose process may claim keys."""
    made = Ledger(tmp_path)
    made.prepare()
    yield made
    made.close()


def sent(ledger: Ledger, key: str, project: str = "/one") -> str:
    """Record a request for 0.20 CNY; return its uid."""
    request = Request("dashscope", "qwen-image-plus", "a dog", "", Size(1328, 1328), 1, False, False)
    context = {"host": "example.test", "region": "singapore", "interface": "sync", "account": "fingerprint"}
    intent = Intent(key, request, "dashscope", project, f"s/{key}[seed=1]", context, price=Decimal("0.20"),
                    currency="CNY")  # fmt: skip
    row = ledger.intend(replace(intent, context={**context, ASSUMED: True}) if key == "assumed" else intent)
    assert isinstance(row, Row)
    return row.uid


def test_what_counts(ledger: Ledger, tmp_path: Path) -> None:
    """What the service refused, and what an emulator answered, is no charge. Prices that were assumed are marked."""
    for key in ("done", "assumed", "lost", "flying", "refused", "again", "emulated"):
        uid = sent(ledger, key)
        if key == "flying":
            ledger.accepted(uid, "task:1")
        elif key == "emulated":
            ledger.accepted(uid, "task:2", "http://127.0.0.1:8123")
            ledger.settle(uid, "done")
        elif key != "lost":
            ledger.settle(uid, {"again": "resubmitted", "refused": "refused"}.get(key, "done"))
    found = charges(tmp_path)
    assert found is not None
    assert [(it.cell, it.standing, it.is_assumed) for it in found] == [
        ("s/done[seed=1]", Standing.BILLED, False),
        ("s/assumed[seed=1]", Standing.BILLED, True),
        ("s/lost[seed=1]", Standing.UNKNOWN, False),
        ("s/flying[seed=1]", Standing.IN_FLIGHT, False),
        ("s/again[seed=1]", Standing.UNKNOWN, False),
    ]
    assert found[0][:1] + found[0][2:7] == (
        "/one", "qwen-image-plus", "example.test", Decimal("0.20"), "CNY", False
    )  # fmt: skip


def test_the_charges_of_one_project(ledger: Ledger, tmp_path: Path) -> None:
    """Those of others are left out, unless all are asked for."""
    for project in ("/one", "/two"):
        ledger.settle(sent(ledger, project[1:], project), "done")
    assert [it.project for it in charges(tmp_path, "/two") or ()] == ["/two"]
    assert [it.project for it in charges(tmp_path) or ()] == ["/one", "/two"]


def test_no_ledger(tmp_path: Path) -> None:
    """A ledger that is missing is not made, and an empty file has no charges."""
    assert charges(tmp_path / "nowhere") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE).write_bytes(b"")
    assert charges(tmp_path) == []


@pytest.mark.parametrize("change", ["price = 'much'", "context = '[]' || '\"price_assumed\"'", "price = 1.5"])
def test_a_damaged_row(ledger: Ledger, tmp_path: Path, change: str) -> None:
    """The message names the row."""
    sent(ledger, "k")
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db, db:
        db.execute(f"UPDATE submissions SET {change}")
    if change == "price = 1.5":  # the column makes it a text
        assert [it.price for it in charges(tmp_path) or ()] == [Decimal("1.5")]
        return
    with pytest.raises(LedgerError, match="row 1 is damaged"):
        charges(tmp_path)


def test_a_locked_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """A program that locks the file is named as the cause."""
    sent(ledger, "k")
    ledger._db.execute("PRAGMA journal_mode=DELETE")  # in WAL mode, readers wait for nobody
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError) as caught:
            charges(tmp_path)
    assert caught.value.claim == f"{tmp_path / FILE}: database is locked"
