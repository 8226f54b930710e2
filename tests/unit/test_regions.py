"""The regions: their names and the vendor's ids."""

from __future__ import annotations

from qwenbuild.model_tables import RegionPrices
from qwenbuild.providers.dashscope.endpoint import BASE_URLS, WORKSPACE_URLS
from qwenbuild.regions import REGION_IDS, REGIONS


def test_each_region_has_hosts_and_prices() -> None:
    """A new region needs a host, and a key in tables of prices."""
    assert list(WORKSPACE_URLS) == list(RegionPrices.model_fields) == list(REGIONS)
    assert set(REGIONS) - BASE_URLS.keys() == {"frankfurt"}
    assert all(f".{REGION_IDS[region]}.maas.aliyuncs.com/" in url for region, url in WORKSPACE_URLS.items())
