"""Vendor parameters on their way from the spec to the service, and in all records."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.files.provenance import read_provenance

from .studio import Studio

pytest_plugins = ("tests.support.emulated",)

SPEC = """\
[image.cat]
prompt = "a cat"
seed = 1
parameters = { style = { name = "{{ ink }}" }, enhance = true }
"""


@pytest.mark.parametrize("interface", ["sync", "async"])
def test_parameters_reach_the_service(emulator: Running, tmp_path: Path, interface: str) -> None:
    """They are sent and billed as they are, recorded with the image, and a change of one is a change of the image."""
    studio = Studio.make(tmp_path, emulator, {"s": SPEC}, interface=f'"{interface}"')
    sent = {"style": {"name": "{{ ink }}"}, "enhance": True}
    if interface == "async":  # a request that another process collects survives in ledger and state
        assert studio.build_inside(detach=True).finished.submitted == 1
        assert [it.request.as_dict()["parameters"] for it in studio.submissions] == [sent]
        assert studio.build_inside().finished.reattached == 1
    else:
        assert studio.build_inside().finished.rendered == 1
    studio.audit()
    assert [record["parameters"] for record in emulator.bill()["records"]] == [sent]
    [image] = studio.outputs().values()
    assert (read_provenance(image) or {})["request"]["parameters"] == sent
    assert studio.build_inside(locked=True).finished.up_to_date == 1

    studio.write({"specs/s.toml": SPEC.replace("true", "false")})
    assert "parameter enhance changed: true -> false" in studio.here("plan").out
    studio.write({"specs/s.toml": SPEC})
    assert studio.build_inside().finished.up_to_date == 1
    assert emulator.bill()["count"] == 1


def test_a_clone_knows_its_images(emulator: Running, tmp_path: Path) -> None:
    """Without the state, the request is read from the lock and from the image itself."""
    studio = Studio.make(tmp_path, emulator, {"s": SPEC})
    studio.build_inside()
    (studio.root / ".qwenbuild/state.sqlite3").unlink()
    studio.write({"specs/s.toml": SPEC.replace("true", "false")})
    assert "parameter enhance changed: true -> false" in studio.here("plan").out
