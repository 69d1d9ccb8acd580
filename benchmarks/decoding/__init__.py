"""Decoding: video and DICOM to prepared frames, against the ways that PyAV and pydicom offer first; and finding the beam."""

from benchmarks.decoding.measurement import measure
from benchmarks.decoding.section import section, summary

__all__ = ["measure", "section", "summary"]
