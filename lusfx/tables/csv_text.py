"""What a CSV file is written in: its encoding and its separator, told where its bytes allow one reading only.

Spreadsheets of most of Europe separate by semicolons and write Windows-1252. Guessing wrong would give a patient another
pseudonym, so what allows two readings is refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping

from lusfx.errors import TableError
from lusfx.tables.columns import is_common

HEAD_BYTES = 256
CHUNK_BYTES = 1 << 20
SEPARATORS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MULTI_BYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
"""A character beyond ASCII as UTF-8 has it. In Windows-1252 the same bytes make no word."""
OTHER_PAGES = re.compile(rb"[\x80-\x9f]")
"""Letters of DOS and of old Macs; in Windows-1252 quotes and dashes, and nothing at all."""


def encoding_of(stream: io.BufferedReader) -> tuple[str, str | None]:
    """The encoding by Python's name, and in words where it is not UTF-8. The stream is read and wound back.

    :raises TableError: if the bytes are no text, or may be text of several kinds.
    """
    head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "UTF-16"
    # Without a mark it shows by its zeros: ASCII in UTF-16 has one in every second byte.
    first, second = (head[start::2].count(0) for start in (0, 1))
    if len(head) >= 4 and max(first, second) * 4 > len(head):
        if min(first, second):
            raise TableError("the table is no text. Save it as 'CSV UTF-8'")
        return ("utf-16-be" if first else "utf-16-le"), "UTF-16"
    return ("utf-8-sig", None) if _is_utf8(stream) else ("cp1252", "Windows-1252")


def _is_utf8(stream: io.BufferedReader) -> bool:
    """Whether all is UTF-8; else it can only be Windows-1252.

    :raises TableError: if it may be something else.
    """
    decoder, is_utf8, is_western, before = codecs.getincrementaldecoder("utf-8")(), True, True, b""
    while chunk := stream.read(CHUNK_BYTES):
        if is_utf8:
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                is_utf8 = False
        seen = before + chunk
        is_western = is_western and not MULTI_BYTE.search(seen) and not OTHER_PAGES.search(chunk)
        before = chunk[-3:]
        if not is_utf8 and not is_western:
            break
    if is_utf8:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            is_utf8 = False
    stream.seek(0)
    if not is_utf8 and not is_western:
        raise TableError(
            "the table is not UTF-8 text, and which other text it is cannot be told. It cannot be read as csv. Save it as "
            "'CSV UTF-8'"
        )
    return is_utf8


def separator_of(header: str) -> str:
    """What separates the columns of a header: that by which names appear which lusfx knows, or else commas.

    :raises TableError: if it could be several, or is another and no name is known.
    """
    if header.strip().strip("\ufeff").lower().startswith("sep="):
        raise TableError(
            "the table begins with a line 'sep=', which only spreadsheets know. Remove it, and separate by commas"
        )
    split = {separator: _split(header, separator) for separator in SEPARATORS}
    fitting = [
        separator for separator, names in split.items() if len(names) > 1 and any(is_common(name) for name in names)
    ]
    if len(fitting) > 1:
        said = " or ".join(SEPARATORS[separator] for separator in fitting)
        raise TableError(f"the table's columns may be separated by {said}. Save it with commas between them alone")
    if fitting:
        return fitting[0]
    other = [SEPARATORS[separator] for separator, names in split.items() if separator != "," and len(names) > 1]
    if other and len(split[","]) == 1:
        raise TableError(f"the table's columns are separated by {other[0]}. Save it with commas between them")
    return ","


def _split(header: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=separator, strict=True), [])
    except csv.Error:
        return []
