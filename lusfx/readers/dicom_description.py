"""What a DICOM header says of its pixels (PS3.3 C.7.6.3), before anyone knows whether it is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lusfx.errors import UnreadableClipError

if TYPE_CHECKING:
    from pydicom import Dataset

GREYS = frozenset({"MONOCHROME1", "MONOCHROME2"})
PALETTE = "PALETTE COLOR"
SUBSAMPLED = "YBR_FULL_422"
TRANSFORMS_OF_JPEG_2000 = frozenset({"YBR_ICT", "YBR_RCT"})
"""Colour transforms inside JPEG 2000, which its decoder undoes (PS3.3 C.7.6.3.1.2)."""
NATIVE_COLOURS = frozenset({"RGB", "YBR_FULL", SUBSAMPLED}) | TRANSFORMS_OF_JPEG_2000
LIMITED = frozenset({"YBR_PARTIAL_422", "YBR_PARTIAL_420"})


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """A description of pixels.

    :param samples: per pixel.
    :param photometric: photometric interpretation (PS3.3 C.7.6.3.1.2); "" where the header has none.
    :param planes: whether colours lie plane by plane.
    :param n_frames: declared; None where the header does not say, or says nonsense.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    planes: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    n_frames: int | None

    @classmethod
    def of(cls, dataset: Dataset) -> PixelDescription:
        """What a header says; numbers that it lacks are 0.

        :raises UnreadableClipError: if it says something other than numbers (``damaged``).
        """
        photometric = " ".join(str(dataset.get("PhotometricInterpretation") or "").upper().split())
        try:
            samples = int(dataset.get("SamplesPerPixel") or (3 if photometric in NATIVE_COLOURS | LIMITED else 1))
            allocated, stored = (int(dataset.get(f"Bits{name}") or 0) for name in ("Allocated", "Stored"))
            high_bit = dataset.get("HighBit")
            return cls(
                rows=int(dataset.get("Rows") or 0),
                columns=int(dataset.get("Columns") or 0),
                samples=samples,
                photometric=photometric,
                planes=samples > 1 and int(dataset.get("PlanarConfiguration") or 0) == 1,
                bits_allocated=allocated,
                bits_stored=stored,
                high_bit=stored - 1 if high_bit is None else int(high_bit),
                is_signed=int(dataset.get("PixelRepresentation") or 0) != 0,
                n_frames=declared_frames(dataset),
            )
        except (TypeError, ValueError):
            raise UnreadableClipError("damaged", "the DICOM file does not describe its pixels") from None

    @property
    def has_luma(self) -> bool:
        """Whether the first sample of a pixel is its luma."""
        return self.photometric.startswith("YBR") and self.photometric not in TRANSFORMS_OF_JPEG_2000

    def completed(self) -> PixelDescription:
        """With what is missing or cannot be, and follows from the rest; what the pixels say against it counts more."""
        photometric = self.photometric or {1: "MONOCHROME2", 3: "RGB"}.get(self.samples, "")
        allocated = self.bits_allocated
        # Of colours, some writers count the bits of a pixel.
        if allocated == 0 or (self.samples == 3 and allocated == 24):
            allocated = 16 if 8 < self.bits_stored <= 16 else 8
        stored = self.bits_stored if 0 < self.bits_stored <= allocated else allocated
        high_bit = self.high_bit if 0 <= self.high_bit < allocated else stored - 1
        return replace(self, photometric=photometric, bits_allocated=allocated, bits_stored=stored, high_bit=high_bit)

    def check(self) -> None:
        """Refuse what is not read here, or contradicts itself.

        :raises UnreadableClipError: ``damaged`` or ``unsupported-pixel-format``.
        """
        if self.rows <= 0 or self.columns <= 0 or not self.photometric:
            raise UnreadableClipError("damaged", "the DICOM file does not describe its pixels")
        if self.bits_allocated not in (8, 16):
            raise UnreadableClipError(
                "unsupported-pixel-format", "the DICOM file's samples have other than 8 or 16 bits"
            )
        if self.photometric not in GREYS | NATIVE_COLOURS | {PALETTE}:
            raise UnreadableClipError("unsupported-pixel-format", "the DICOM file's colour space is not read here")
        if not 1 <= self.bits_stored <= self.bits_allocated or self.samples not in (1, 3):
            raise UnreadableClipError("damaged", "the DICOM file's description of its pixels contradicts itself")

    def for_pydicom(self) -> Mapping[str, Any]:
        """As options of pydicom's decoders, for one frame."""
        return {
            "rows": self.rows,
            "columns": self.columns,
            "samples_per_pixel": self.samples,
            "photometric_interpretation": self.photometric,
            "planar_configuration": int(self.planes),
            "bits_allocated": self.bits_allocated,
            "bits_stored": self.bits_stored,
            "pixel_representation": int(self.is_signed),
            "number_of_frames": 1,
            "pixel_keyword": "PixelData",
            "pixel_vr": "OW",
        }


def declared_frames(dataset: Dataset) -> int | None:
    """NumberOfFrames; None where it is missing or nonsense."""
    try:
        n_frames = int(dataset.get("NumberOfFrames") or 0)
    except (TypeError, ValueError):
        return None
    return n_frames if n_frames > 0 else None
