"""Single values of a DICOM header, each read as far as it makes sense: one bad field costs a file no pixels.

pydicom raises on a value that its type (VR, PS3.5 6.2) does not allow, and for a list on all of it. Such a value is read here
from its bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lusfx.readers.files import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

PIXEL_DATA = (0x7FE0, 0x0010)
"""Group and element of its tag."""
UNDEFINED_LENGTH = 0xFFFFFFFF
ELEMENT_HEAD_BYTES = 8
PADDING = " \0\t\r\n"
DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
COMMA_DECIMAL = re.compile(r"[+-]?\d+,\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Decimals:
    """The numbers of one element.

    :param values: NaN where an item is empty or no number; none where the element is missing.
    :param with_comma: whether a comma stood where the standard has a point.
    """

    values: tuple[float, ...]
    with_comma: bool = False

    @classmethod
    def of(cls, dataset: Dataset, keyword: str) -> Decimals:
        read = [_decimal(item) for item in _items(_value(dataset, keyword))]
        return cls(tuple(value for value, _ in read), any(with_comma for _, with_comma in read))

    @property
    def single(self) -> float | None:
        """The one number; None where there is none, or where there are several that differ."""
        first, *others = self.values or (math.nan,)
        return first if math.isfinite(first) and all(other == first for other in others) else None


def number(dataset: Dataset, keyword: str) -> float | None:
    """The one number of an element; None where there is none, or where there are several that differ."""
    return Decimals.of(dataset, keyword).single


def whole_number(dataset: Dataset, keyword: str) -> int | None:
    """The same, without fraction."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value == int(value) else None


def text(dataset: Dataset, keyword: str) -> str:
    """An element's text without padding; empty where it is missing."""
    value = _value(dataset, keyword)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "" if value is None else str(value).strip(PADDING)


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """The text of each item of an element."""
    return [str(item).strip(PADDING) for item in _items(_value(dataset, keyword))]


def is_cut(dataset: Dataset, n_bytes: int) -> bool:
    """Whether a file ends within its header: there is no element, the last is shorter than it says, or one has half a head.

    :param n_bytes: of the file.
    """
    from pydicom.dataelem import RawDataElement

    last = [dataset.get_item(tag) for tag in list(dataset.keys())[-1:]]
    if not last:
        return True
    if not isinstance(last[0], RawDataElement) or last[0].length == UNDEFINED_LENGTH:
        return False
    n_left = n_bytes - last[0].value_tell - last[0].length
    return bool(n_left < 0 or 1 < n_left < ELEMENT_HEAD_BYTES)


def _value(dataset: Dataset, keyword: str) -> Any:
    """What pydicom makes of an element; its bytes where pydicom cannot read it; None where it is missing."""
    from pydicom.datadict import tag_for_keyword

    try:
        with quiet():
            return dataset.get(keyword)
    except Exception:
        tag = tag_for_keyword(keyword)
        return None if tag is None else getattr(dataset.get_item(tag), "value", None)


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        stripped = value.strip(PADDING)
        return stripped.split("\\") if stripped else []
    return list(value) if isinstance(value, Iterable) else [value]


def _decimal(item: Any) -> tuple[float, bool]:
    """An item's value, NaN where it has none, and whether it was written with a comma."""
    if isinstance(item, str):
        item = item.strip(PADDING)
        if COMMA_DECIMAL.fullmatch(item):
            return float(item.replace(",", ".")), True
        if not DECIMAL.fullmatch(item):
            return math.nan, False
    try:
        value = float(item)
    except (TypeError, ValueError, OverflowError):
        return math.nan, False
    return (value if math.isfinite(value) else math.nan), False
