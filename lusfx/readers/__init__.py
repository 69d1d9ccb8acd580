"""Readers: source file -> :class:`~lusfx.types.Clip`.

Codes of the sources that no embedding comes of (``failed``, or ``skipped`` where marked):

======================== ==================================================================================
``cannot-open``          missing, not readable, not a file
``empty-file``           no bytes
``not-a-video``          the ending of a video, other content
``not-dicom``            the ending of a DICOM file, other content
``damaged``              header or container is invalid
``no-frames``            not one frame could be decoded
``frame-size-changed``   frames differ in size
``too-large``            frames of more pixels than any ultrasound machine makes
``unsupported-transfer-syntax``, ``unsupported-pixel-format``   DICOM not read here; an image without a known white
``pixels-contradict-header``  the length of DICOM pixels fits no description of them, or several
``no-pixel-data``        (skipped) DICOM without an image: a report, say
``not-ultrasound``       (skipped) DICOM of another modality
``no-b-mode-region``     (skipped) DICOM whose regions are M-mode or Doppler only
``not-a-cine``           (skipped) DICOM whose frames are slices of a volume
======================== ==================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lusfx.hookspecs import hookimpl

if TYPE_CHECKING:
    from lusfx.contracts import Reader


@hookimpl
def lusfx_register_readers() -> Sequence[Reader]:
    from lusfx.readers.dicom import DicomReader
    from lusfx.readers.image import ImageReader
    from lusfx.readers.video import VideoReader

    return [VideoReader(), ImageReader(), DicomReader()]
