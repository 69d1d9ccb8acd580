"""What all messages say alike: short digests, the first few of many names, the system's reason for a failure, and
text from outside as one line."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

SHORT_DIGITS = 12
"""Digits of a digest that people are shown: 48 bits, enough to tell the clips of an archive apart. Some folders are named by as
many: with another number, what they hold is not found again."""
PLAIN_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "a text"}
NAMED = 3
"""Names that a message has room for."""
DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Characters after which a line is shown in another order than it is written in."""


def short(digest: str) -> str:
    """The beginning of a digest or a pseudonym, as people are shown it."""
    return digest[:SHORT_DIGITS]


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 run``, ``2 runs``.

    :param plural: where it is not the noun and an s.
    """
    return f"{n} {noun if n == 1 else plural or f'{noun}s'}"


def verb(n: int, of_one: str, of_many: str) -> str:
    """The verb of so many: ``1 clip stands``, ``2 clips stand``."""
    return of_one if n == 1 else of_many


def are(n: int) -> str:
    """The verb of so many: ``1 clip is``, ``2 clips are``."""
    return verb(n, "is", "are")


def have(n: int) -> str:
    """The verb of so many: ``1 clip has``, ``2 clips have``."""
    return verb(n, "has", "have")


def an(noun: str) -> str:
    """A noun with its article: ``a clip``, ``an exam``."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def plain_problem(problem: Mapping[str, Any]) -> str:
    """What pydantic found wrong with a setting, in words that say what to write.

    :param problem: one of ``ValidationError.errors()``.
    """
    kind, stated = str(problem["type"]), problem.get("ctx", {})
    if kind == "extra_forbidden":
        return "there is no such setting"
    if kind == "missing":
        return "it is missing"
    if kind.startswith(("int_", "float_", "bool_", "string_type")):
        return f"it must be {PLAIN_KINDS[kind.partition('_')[0]]}"
    if kind == "literal_error":
        return f"it must be {stated['expected']}"
    return str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "it must be")


def first_few(names: Sequence[str]) -> str:
    """The first of some names, and whether there are more."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def system_reason(error: OSError) -> str:
    """Why the operating system refused something, without the name of the file: that may name a patient."""
    return os.strerror(error.errno or 0)


def one_line(text: str) -> str:
    """Text from outside as one line that a terminal and a table only show: each control character, line separator, change of
    the direction of writing and half of a surrogate pair becomes its escape, ``\\x1b`` say."""
    if text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode("ascii") if _acts(char) else char for char in text)


def _acts(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in DIRECTIONS
