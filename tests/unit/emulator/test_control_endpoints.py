from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.vendor_calls import SYNC, VendorClient, billed

pytest_plugins = ("tests.support.emulated", "tests.support.vendor_calls")


def test_the_bill_is_served_and_reset(client: VendorClient) -> None:
    """The bill shows which images reached the client; DELETE clears it."""
    link = client.link()
    client.link()
    client.download(link)
    bill = client.http.delete(f"{client.emulator.origin}/_emulator/bill").json()
    assert (bill["count"], Decimal(bill["amount"])) == (2, Decimal("0.440354"))
    assert [(record["answered"], record["delivered"]) for record in bill["records"]] == [(True, True), (True, False)]
    assert bill["records"][0]["exchange"]["path"] == f"/api/v1{SYNC}"
    assert billed(client) == 0
    assert client.download(link).status_code == 200


def test_the_page_shows_the_bill(client: VendorClient) -> None:
    """The page shows the amount, the tasks and the faults."""
    client.emulator.inject("slow=0:list")
    client.task()
    client.http.get("/tasks/")
    page = client.http.get(client.emulator.origin + "/").text
    assert "Would have billed 0.220177 CNY for 1 image<" in page
    assert "1 SUCCEEDED" in page
    assert "<code>slow=0:list</code> 1 times" in page


def test_faults_are_replaced_at_run_time(client: VendorClient) -> None:
    """The endpoint replaces, shows and removes the faults, and answers 400 to a wrong body."""
    url = f"{client.emulator.origin}/_emulator/faults"
    assert client.http.post(url, json={"faults": ["throttle:poll:1"], "seed": 3}).json() == {
        "faults": [{"fault": "throttle:poll:1", "fired": 0}]
    }
    client.perform("poll")
    assert client.http.get(url).json() == {"faults": [{"fault": "throttle:poll:1", "fired": 1}]}
    assert client.http.delete(url).json() == {"faults": []}
    wrong = client.http.post(url, json={"faults": ["throtle"]})
    assert (wrong.status_code, 'did you mean "throttle"?' in wrong.json()["error"]) == (400, True)
    for body in ({}, {"faults": "throttle"}, {"faults": [1]}, {"faults": [], "seed": "a"}):
        assert client.http.post(url, json=body).status_code == 400


@pytest.mark.parametrize("seconds", ["1", None, True, 1e300])
def test_the_clock_accepts_only_numbers(client: VendorClient, seconds: Any) -> None:
    """A value that is not a finite number of seconds is refused."""
    answer = client.http.post(f"{client.emulator.origin}/_emulator/clock", content=json.dumps({"advance_s": seconds}))
    assert answer.status_code == 400
