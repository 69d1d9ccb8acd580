"""The cache of embeddings: the only code that touches HDF5. ``docs/cache-format.md`` is its specification."""

from lusfx.cache.explanation import Explanation, explain, spec_difference
from lusfx.cache.keys import clip_key, stamped_clip_key
from lusfx.cache.ledger import STATUSES, LedgerEntry, Membership, RunLedger, read_ledger
from lusfx.cache.maintenance import Finding, info, repair, verify
from lusfx.cache.packing import Packing, pack
from lusfx.cache.stat_index import StatIndex
from lusfx.cache.store import Cache, Store
from lusfx.cache.tidying import gc
from lusfx.cache.troubles import troubles
from lusfx.plain_file import Stamp

__all__ = [
    "STATUSES",
    "Cache",
    "Explanation",
    "Finding",
    "LedgerEntry",
    "Membership",
    "Packing",
    "RunLedger",
    "Stamp",
    "StatIndex",
    "Store",
    "clip_key",
    "explain",
    "gc",
    "info",
    "pack",
    "read_ledger",
    "repair",
    "spec_difference",
    "stamped_clip_key",
    "troubles",
    "verify",
]
