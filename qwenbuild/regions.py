"""The regions of the service, with the vendor's own ids.

Source: Model Studio, "Base URL", of 2026-10-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REGION_IDS: Final[Mapping[str, str]] = {
    "singapore": "ap-southeast-1",
    "beijing": "cn-beijing",
    "virginia": "us-east-1",
    "hongkong": "cn-hongkong",
    "frankfurt": "eu-central-1",
}
"""The vendor's id of each region, by the name that qwenbuild uses. The first region is the default."""

REGIONS: Final = tuple(REGION_IDS)
"""The names of the regions."""
