"""Keeping: verifies a rendered image, adds its provenance, and puts it into the store."""

from __future__ import annotations

from qwenbuild.digest import canonical_json, sha256
from qwenbuild.files import png
from qwenbuild.files.provenance import with_provenance
from qwenbuild.provider import Rendered
from qwenbuild.request import Request
from qwenbuild.storage.action_result import Entry
from qwenbuild.storage.store import Store


def keep(
    store: Store, provider: str, key: str, request: Request, rendered: Rendered, *, pinned: str = "",
    forced: bool = False,
) -> tuple[Entry, bytes]:  # fmt: skip
    """Verify and store the image of a request; return the store's entry and its bytes.

    `pinned` is the digest that the lock demands, empty for none. With `forced` the image replaces the
    stored one; otherwise the image that was stored first stays. Raises ProviderError if the bytes are
    not an image of the requested size, StoreError.
    """
    if not rendered.verified:
        png.verify(rendered.png, request.size)
    facts = {
        "generator": "qwenbuild", "action_key": key, "provider": provider, "request": request.as_dict(),
        **rendered.facts,
    }  # fmt: skip
    image, provenance = with_provenance(rendered.png, facts), canonical_json(facts)
    digest = sha256(image)
    if digest == pinned and not forced:  # the lock counts more than the image that was stored first
        return store.put_beside(key, image, provenance), image
    entry = store.put(key, image, provenance, replace=forced)
    if entry.image != digest:  # an equal request was stored first: that image stays
        image = store.read(entry) or image
    return entry, image
