"""Values of a header, read as far as they make sense."""

from __future__ import annotations

import math

import pytest
from pydicom import Dataset

from lusfx.readers.dicom_values import Decimals, number, text, texts, whole_number


def of(value: object, vr: str = "UT") -> Dataset:
    dataset = Dataset()
    dataset.add_new(0x00181063, vr, value)  # FrameTime
    return dataset


@pytest.mark.parametrize(
    ("value", "expected"),
    [("33.3", 33.3), (" 33.3\0", 33.3), ("33,3", 33.3), ("+1.5e2", 150), (".5", 0.5), ("7\\7", 7), ("-3", -3)],
)
def test_a_number(value: str, expected: float) -> None:
    assert number(of(value), "FrameTime") == pytest.approx(expected)


@pytest.mark.parametrize("value", ["", "x", "1\\2", "1,000,5", "1.2.3", "nan", "inf", "1e999", "0x10", "1_000", "١"])
def test_no_number(value: str) -> None:
    assert number(of(value), "FrameTime") is None
    assert number(Dataset(), "FrameTime") is None


@pytest.mark.parametrize(("value", "expected"), [("20", 20), ("20.0", 20), ("2e1", 20), ("20.5", None), ("", None)])
def test_a_whole_number(value: str, expected: int | None) -> None:
    assert whole_number(of(value), "FrameTime") == expected


def test_items_without_a_number_keep_their_places() -> None:
    values = Decimals.of(of("0\\33,3\\\\x\\5"), "FrameTime")
    assert values.values == pytest.approx((0, 33.3, math.nan, math.nan, 5), nan_ok=True)
    assert values.with_comma
    assert values.single is None


def test_texts() -> None:
    assert texts(of("a \\b\0"), "FrameTime") == ["a", "b"]
    assert texts(Dataset(), "FrameTime") == []
    assert text(of(" a\0"), "FrameTime") == "a"
    assert text(Dataset(), "FrameTime") == ""
    assert text(of(b"\xe4", "OB"), "FrameTime") == "ä"
