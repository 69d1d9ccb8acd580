"""Samples of a DICOM clip as grey frames: one colour space, one depth and one palette for all of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lusfx.readers.dicom_codecs import luma
from lusfx.readers.dicom_colours import colours_of
from lusfx.readers.dicom_description import PixelDescription
from lusfx.readers.dicom_layouts import Samples
from lusfx.readers.grey_range import eight_bits
from lusfx.types import GreyImage


@dataclass(slots=True)
class Shades:
    """Makes 8-bit grey frames.

    Stored values are scaled by the depth. No VOI window is applied: ultrasound grey levels are display values already, and a
    window set for viewing would make the same tissue look different to an encoder.

    :param photometric: of the samples as they are decoded.
    :param depth: bits of the greatest value.
    :param mask: bits that are no overlay's.
    """

    photometric: str
    depth: int
    palette: GreyImage | None = None
    mask: int | None = None

    def __call__(self, samples: Samples) -> GreyImage | None:
        """The grey image ``(height, width)``; None of samples below 0, which no grey is."""
        if samples.dtype.kind == "i" and samples.size and samples.min() < 0:
            return None
        if self.palette is not None:
            return np.take(self.palette, samples, mode="clip")
        if self.mask is not None:
            samples = samples & samples.dtype.type(self.mask)
        values = eight_bits(samples, self.depth)
        if values.ndim == 3:
            return np.ascontiguousarray(values[..., 0]) if self.photometric == "YBR_FULL" else luma(values)
        return 255 - values if self.photometric == "MONOCHROME1" else values

    def look_at_colours(self, samples: Samples) -> None:
        """Take the pixels' word for their colours where they contradict what is believed."""
        if samples.ndim == 3 and (found := colours_of(samples, self.depth)) not in (None, self.photometric):
            assert found is not None
            self.photometric = found


def colour_family(described: PixelDescription) -> str | None:
    """What a header says of three decoded samples: ``RGB`` or ``YBR_FULL``; None where it says neither."""
    if described.has_luma:
        return "YBR_FULL"
    return "RGB" if described.photometric in ("RGB", "YBR_ICT", "YBR_RCT") else None
