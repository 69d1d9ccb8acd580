"""How people and programs write one identifier: in other capitals, with spaces, as a spreadsheet's number.

A patient who is written in two ways would be two patients, and could stand on both sides of a split.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

# Unicode's Default_Ignorable_Code_Point (UAX 44) beyond the format characters, whose category (Cf) tells them.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
_WHOLE = re.compile(r"[0-9]+\.0*")
_POWER = re.compile(r"[0-9](?:\.[0-9]+)?e\+[0-9]{1,2}")
_DIGITS = re.compile(r"[0-9]+")


def canonical(identifier: str) -> str:
    """One form of all the ways in which an identifier is commonly written.

    Capitals, composed and compatible characters are folded (Unicode's NFKC_Casefold), spaces and invisible characters left out,
    all dashes are one. Numbers are as before a spreadsheet had them: ``10.0``, ``0010``, ``'10`` and ``1.0E+01`` are ``10``.

    :returns: blank where nothing visible is left.
    """
    text = _folded(identifier)
    while (again := _folded(text)) != text:  # a character that went may have kept two others from being composed
        text = again
    return text


def common_spellings(identifier: str) -> set[str]:
    """The ways in which people write one identifier: capitals or not, spaces or not, letters and digits of full width."""
    plain = unicodedata.normalize("NFKC", identifier)
    return {
        way(text)
        for text in (identifier, plain, "".join(plain.split()), " ".join(plain.split()), canonical(identifier))
        for way in (str, str.lower, str.upper, str.title, str.capitalize)
    }


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _visible(text)).casefold())
    return _as_number(_visible(folded))


def _visible(text: str) -> str:
    kept = (
        "-" if unicodedata.category(character) == "Pd" else character
        for character in _IGNORABLE.sub("", text)
        if unicodedata.category(character) not in _UNSEEN
    )
    return "".join(kept)


def _as_number(text: str) -> str:
    """A number without what spreadsheets add to it or take from it."""
    number = text.removeprefix("'")  # says that what follows is text
    if _POWER.fullmatch(number):
        value = Decimal(number)
        number = f"{value:f}" if value == value.to_integral_value() else number
    if _WHOLE.fullmatch(number):
        number = number.partition(".")[0]
    return (number.lstrip("0") or "0") if _DIGITS.fullmatch(number) else text
