"""What all messages say alike: short digests, the first few of many names, and the system's reason for a failure."""

from __future__ import annotations

import os
from collections.abc import Sequence

SHORT_DIGITS = 12
"""Digits of a digest that people are shown: 48 bits, enough to tell the clips of an archive apart. Some folders are named by as
many: with another number, what they hold is not found again."""
NAMED = 3
"""Names that a message has room for."""


def short(digest: str) -> str:
    """The beginning of a digest or a pseudonym, as people are shown it."""
    return digest[:SHORT_DIGITS]


def first_few(names: Sequence[str]) -> str:
    """The first of some names, and whether there are more."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def system_reason(error: OSError) -> str:
    """Why the operating system refused something, without the name of the file: that may name a patient."""
    return os.strerror(error.errno or 0)
