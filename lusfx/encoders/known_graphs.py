"""Which graph belongs to the identities of before, that did not say it.

An identity without ``graph_sha256`` means what timm makes of its architecture, layer and normalisation. These are the
directories of that kind that lusfx carries or must read for ever; their fingerprints are in caches and task models. No other
is added: new directories say which graph they have.
"""

from __future__ import annotations

import hashlib
from typing import Final

from lusfx.config import EncoderIdentity, canonical_json

GRAPHS: Final = {
    # lung-lite0
    "5a18c3f6490e9daf1de688484516580fd8e0be3e121241d70819bdf244b38b67": (
        "4877e6f15c68268dc7e3d211e757f715ff6fd3816133a7708b3d655fa82beb6e"
    ),
    # efficientnet-lite0
    "793e10b67e7c8289096045a0d9b612a027ba917a87a872eabd7137b4128cb6d5": (
        "96c1ead9056121261b715bf891fe75ca5a6c62b0535b27b892ee52276a5fd3cb"
    ),
    # tests/golden/first
    "b32b1ffbea530ac5d653e6138896ad59b8918b9fa84510bc19dfa98e2fae618d": (
        "9f8aa551b9957b91114f28e3695ac0fb419a66fb7cb280264435f2f19bcdc5b8"
    ),
}
"""SHA-256 of an identity's canonical JSON -> SHA-256 of ``encoder.onnx``."""


def known_graph(identity: EncoderIdentity) -> str | None:
    """SHA-256 of the graph of an identity that does not say it; None if nothing is known of it."""
    return GRAPHS.get(hashlib.sha256(canonical_json(identity.model_dump(mode="json")).encode("ascii")).hexdigest())
