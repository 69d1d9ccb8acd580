"""What failed, by what the ledgers say last of each source."""

from __future__ import annotations

from lusfx.cache.ledger import LedgerEntry, read_ledger
from lusfx.cache.store import Cache


def troubles(cache: Cache) -> list[LedgerEntry]:
    """The sources that failed in the latest run that came to them, in the order of their pseudonyms.

    :raises CacheError: if a ledger cannot be read.
    """
    latest: dict[str, LedgerEntry] = {}
    for path in cache.ledgers():
        latest.update((entry.source, entry) for entry in read_ledger(path).entries)
    return sorted((entry for entry in latest.values() if entry.status == "failed"), key=lambda entry: entry.source)
