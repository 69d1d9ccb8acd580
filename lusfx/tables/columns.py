"""Columns: the names that a table's header gives them, each of one column only."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from lusfx.errors import TableError
from lusfx.tables.limits import MAX_COLUMNS


def column_names(header: Sequence[str]) -> list[str]:
    """The names as they are looked up: without blanks and unseen characters around them. A column without a name has ``""``.

    :raises TableError: if there are too many, people would take two for one, or one is almost ``patient_id`` and would not be
        read; no other name is repeated, since in a table without a header they are the first patient's cells.
    """
    if len(header) > MAX_COLUMNS:
        raise TableError(f"the table has more than {MAX_COLUMNS:,} columns")
    names = [_trimmed(text) for text in header]
    seen = [as_seen(name) for name in names if name]
    if len(set(seen)) != len(seen):
        raise TableError(
            "the table has two columns of one name, or of names that differ only in capitals, blanks or characters that "
            "nobody sees. Give each a name of its own"
        )
    _check_whose(names)
    return names


def _check_whose(names: Sequence[str]) -> None:
    """Refuse ``PatientID`` and the like: passed over, they would leave it to each file to say whose it is."""
    seen = set(map(as_seen, names))
    for name in seen:
        meant = WHOSE.get("".join(filter(str.isalnum, name)))
        if meant is not None and meant not in seen:
            raise TableError(
                f"the table has a column that is almost called '{meant}' and would not be read. Call it '{meant}', or "
                "something else if it says anything else"
            )


WHOSE = {"patientid": "patient_id", "examid": "exam_id"}
"""Columns that say whose a clip is, by their letters alone."""


def _trimmed(text: str) -> str:
    unseen = "".join({char for char in text if char.isspace() or _is_unseen(char)})
    return text.strip(unseen)


def is_common(name: str) -> bool:
    """Whether a column's name is one that every manifest or label table may have."""
    return as_seen(name) in COMMON


@lru_cache(maxsize=4 * MAX_COLUMNS)
def as_seen(name: str) -> str:
    """A name as people compare it: without capitals, unseen characters and more than one blank."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return " ".join("".join(char for char in plain if not _is_unseen(char)).split())


def _is_unseen(char: str) -> bool:
    """Whether a character has no width: format and control characters, variation selectors, fillers."""
    kind = unicodedata.category(char)
    return kind == "Cf" or (kind == "Cc" and not char.isspace()) or char in UNSEEN or "\ufe00" <= char <= "\ufe0f"


COMMON = frozenset({"path", "clip", "patient_id", "exam_id", "zone", "frame"})
UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that are drawn as nothing."""
