"""Declared regions: those that say nothing hide no clip, those of another picture cut none, M-mode stays left out."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from lusfx.errors import SkippedClipError
from lusfx.readers.dicom_regions import BModeRegion, b_mode_region
from lusfx.types import Box, Note
from tests.readers import make

HEIGHT, WIDTH = 96, 128
BOX = (10, 4, 100, 90)
WHOLE = (0, 0, WIDTH, HEIGHT)
M_MODE, SPECTRAL, WAVE_FORM, GRAPHICS = 2, 3, 4, 5
COLOUR_FLOW, PW_DOPPLER, ECG, GREY_BAR = 2, 3, 0x0A, 0x0D


def of(*items: Dataset) -> BModeRegion:
    dataset = Dataset()
    dataset.SequenceOfUltrasoundRegions = list(items)
    return b_mode_region(dataset, HEIGHT, WIDTH)


def without(item: Dataset, *keywords: str) -> Dataset:
    for keyword in keywords:
        delattr(item, keyword)
    return item


def changed(item: Dataset, **values: object) -> Dataset:
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


PLACE = tuple(f"RegionLocation{name}" for name in ("MinX0", "MinY0", "MaxX1", "MaxY1"))
SAYS_NOTHING = {
    "neither format nor type": make.region(WHOLE, 0, 0),
    "no format": make.region(WHOLE, 0, 1),
    "format out of sense": make.region(WHOLE, 77, 1),
    "no type": make.region(BOX, 1, 0),
    "type out of sense": make.region(BOX, 1, 4000),
    "type missing": without(make.region(BOX), "RegionDataType"),
    "format missing": without(make.region(BOX), "RegionSpatialFormat"),
    "a spacing alone": changed(Dataset(), PhysicalDeltaX=0.1, PhysicalDeltaY=0.1),
    "an ECG": make.region(BOX, WAVE_FORM, ECG),
    "a grey bar": make.region(BOX, GRAPHICS, GREY_BAR),
    "a grey bar called an image": make.region((0, 0, 20, 90), 1, GREY_BAR),
}


@pytest.mark.parametrize("name", SAYS_NOTHING)
def test_an_item_that_says_nothing_hides_no_clip(name: str) -> None:
    assert of(SAYS_NOTHING[name]) == BModeRegion()


@pytest.mark.parametrize("name", SAYS_NOTHING)
def test_an_item_that_says_nothing_changes_no_other(name: str) -> None:
    assert of(SAYS_NOTHING[name], make.region(BOX)) == BModeRegion(Box(*BOX))


WITHOUT_PLACE = {
    "no place": without(make.region(BOX), *PLACE),
    "half a place": without(make.region(BOX), *PLACE[2:]),
    "empty place": changed(make.region(BOX), RegionLocationMaxX1=None),
    "one pixel": make.region((0, 0, 1, 1)),
    "a line": make.region((0, 40, 128, 41)),
}


@pytest.mark.parametrize("name", WITHOUT_PLACE)
def test_an_image_without_a_place_leaves_the_whole_frame_and_a_note(name: str) -> None:
    assert of(WITHOUT_PLACE[name]) == BModeRegion(notes=frozenset({Note.REGION_IGNORED}))


@pytest.mark.parametrize("name", WITHOUT_PLACE)
def test_an_image_without_a_place_beside_one_with_a_place(name: str) -> None:
    assert of(WITHOUT_PLACE[name], make.region(BOX)) == BModeRegion(Box(*BOX))


@pytest.mark.parametrize(
    "box",
    [
        (200, 120, 400, 300),  # outside
        (10, 4, 300, 90),  # too wide
        (10, 4, 100, 101),  # too high by a little more than rounding
        (-40, 4, 80, 90),
        (100, 90, 10, 4),  # corners exchanged
        (100, 4, 10, 90),
        (120, 80, 140, 99),  # a corner of the frame
    ],
)
def test_a_region_that_does_not_fit_leaves_the_whole_frame_and_a_note(box: tuple[int, int, int, int]) -> None:
    item = make.region((0, 0, 1, 1))
    unsigned = [value % (1 << 32) for value in (box[0], box[1], box[2] - 1, box[3] - 1)]
    for keyword, value in zip(PLACE, unsigned, strict=True):
        setattr(item, keyword, value)
    assert of(item) == BModeRegion(notes=frozenset({Note.REGION_IGNORED}))


def test_where_one_pane_does_not_fit_no_place_is_believed() -> None:
    """Panes of a picture that was made smaller: the upper one would fit, and cut the image at half its height."""
    panes = [make.region((20, 0, 100, 60)), make.region((20, 96, 120, 190), M_MODE, 1)]
    assert of(*panes) == BModeRegion(notes=frozenset({Note.REGION_IGNORED}))


@pytest.mark.parametrize("beyond", [1, 4])
def test_a_region_that_is_too_large_by_rounding_is_cut_to_the_frame(beyond: int) -> None:
    item = make.region((0, 0, WIDTH + beyond, HEIGHT + beyond))
    item.RegionLocationMinX0 = (1 << 32) - beyond
    assert of(item) == BModeRegion(Box(0, 0, WIDTH, HEIGHT))


@pytest.mark.parametrize(
    "items",
    [
        [make.region(BOX, M_MODE, 1)],
        [make.region(BOX, M_MODE, 0)],
        [make.region(BOX, SPECTRAL, PW_DOPPLER)],
        [make.region(BOX, 1, COLOUR_FLOW)],
        [make.region(BOX, M_MODE, 1), make.region(WHOLE, 0, 0), make.region(BOX, WAVE_FORM, ECG)],
        [make.region((0, 200, 400, 400), M_MODE, 1)],  # of a picture that was made smaller
    ],
)
def test_other_modes_alone_are_skipped(items: list[Dataset]) -> None:
    with pytest.raises(SkippedClipError) as caught:
        of(*items)
    assert caught.value.code == "no-b-mode-region"


@pytest.mark.parametrize("half_stated", ["no type", "type missing", "no format"])
def test_beside_another_mode_what_is_stated_by_half_is_the_image(half_stated: str) -> None:
    item = changed(Dataset(), **{element.keyword: element.value for element in SAYS_NOTHING[half_stated]})
    for keyword, value in zip(PLACE, (10, 4, 99, 47), strict=True):
        setattr(item, keyword, value)
    assert of(make.region((10, 50, 120, 90), M_MODE, 1), item).box == Box(10, 4, 100, 48)


def test_another_mode_without_a_place_hides_no_clip() -> None:
    item = without(make.region(BOX, M_MODE, 1), *PLACE)
    assert of(item) == BModeRegion(notes=frozenset({Note.REGION_IGNORED}))


def test_the_order_of_equal_regions_does_not_matter() -> None:
    items = [make.region((0, 0, 60, 90)), make.region((62, 0, 122, 90))]
    assert of(*items) == of(*reversed(items))
    assert of(*items) == BModeRegion(Box(0, 0, 60, 90), notes=frozenset({Note.SEVERAL_B_MODE_REGIONS}))


@pytest.mark.parametrize("value", [None, []])
def test_no_items(value: object) -> None:
    dataset = Dataset()
    dataset.SequenceOfUltrasoundRegions = value
    assert b_mode_region(dataset, HEIGHT, WIDTH) == BModeRegion()
    assert b_mode_region(Dataset(), HEIGHT, WIDTH) == BModeRegion()


def test_a_place_in_decimals() -> None:
    item = make.region(BOX)
    dataset = Dataset()
    for element in item:
        dataset.add(element)
    dataset.add_new(0x00186018, "DS", "10.0")
    assert of(dataset).box == Box(*BOX)


@pytest.mark.parametrize(
    ("deltas", "units", "aspect"),
    [
        ((0.05, 0.1), (3, 3), 0.5),
        ((-0.1, 0.05), (3, 3), 2.0),
        ((0.05, 0.0), (3, 3), None),
        ((float("nan"), 0.05), (3, 3), None),
        ((0.05, 0.001), (3, 4), None),  # seconds
        ((0.05, 0.1), (None, None), None),
    ],
)
def test_the_sides_of_a_regions_pixels(
    deltas: tuple[float, float], units: tuple[int | None, int | None], aspect: float | None
) -> None:
    item = changed(make.region(BOX), PhysicalDeltaX=deltas[0], PhysicalDeltaY=deltas[1])
    if units[0] is not None:
        changed(item, PhysicalUnitsXDirection=units[0], PhysicalUnitsYDirection=units[1])
    assert of(item).pixel_aspect == aspect
