"""Same images: a sweep over seeds whose images are copies is told once."""

from __future__ import annotations

from qwenbuild.files.provenance import with_provenance
from qwenbuild.providers.null import plain
from qwenbuild.providers.same_images import SameImages, pixels_of
from qwenbuild.request import Size
from tests.support.scripted import request_of as request


def test_other_seeds_with_the_same_pixels_are_told_once() -> None:
    """Another prompt may look alike, and the same request is the same. Texts in the image do not count."""
    red, blue = (plain(Size(8, 8), colour) for colour in (b"\xff\0\0", b"\0\0\xff"))
    same = SameImages("the server", "look there")
    assert pixels_of(red) == pixels_of(with_provenance(red, {"a": 1})) != pixels_of(blue)
    assert same.warnings(request(seed=1), pixels_of(red)) == same.warnings(request(seed=1), pixels_of(red)) == []
    assert same.warnings(request(seed=2), pixels_of(blue)) == []
    assert same.warnings(request("another", seed=2), pixels_of(red)) == []
    [warning] = same.warnings(request(seed=3), pixels_of(red))
    assert (warning.claim, warning.hint) == ("the server made the same image for different seeds", "look there")
    assert same.warnings(request(seed=4), pixels_of(red)) == []
