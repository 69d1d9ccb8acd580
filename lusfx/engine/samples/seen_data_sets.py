"""Data sets that an encoder has seen, beside those that judge it: figures of the same clips would be too good."""

from __future__ import annotations

from collections.abc import Sequence

from lusfx.cache import Cache
from lusfx.engine.samples.labels import LabelRow
from lusfx.messages import first_few, one_line

DATASET_COLUMN = "dataset"
"""Name of the data set that a row's clip is from, in tables that say it."""


def seen_data_sets(cache: Cache, fingerprint: str, rows: Sequence[LabelRow], dataset: str | None) -> list[str]:
    """What to say where an encoder has seen what judges it. By names alone: nobody knows which of a data set's clips it saw.

    :param fingerprint: of the features; what their encoder has seen is in the ledgers of the runs that made them.
    :param rows: of the label table.
    :param dataset: the data set that all rows are from, in place of the column's.
    """
    known = {_plain(name): name for name in cache.seen_by_encoder(fingerprint)}
    stated = [dataset] if dataset else [entry.row[DATASET_COLUMN] for entry in rows if entry.cached]
    shared = sorted({known[_plain(name)] for name in stated if _plain(name) in known})
    if not shared:
        return []
    return [
        f"the encoder has seen {first_few([one_line(name) for name in shared])} when it was pretrained, and is judged on it "
        "here: the figures may be too good. Judge it on clips of other data sets"
    ]


def _plain(name: str) -> str:
    """A name without what people spell differently: capitals, blanks and hyphens."""
    return "".join(char for char in name.casefold() if char.isalnum())
