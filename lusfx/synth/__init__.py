"""Synthetic lung ultrasound, for tests and for a first run without data."""

from lusfx.synth.archive import write_archive, write_video
from lusfx.synth.simulation import LungPattern, PatientLook, simulate

__all__ = ["LungPattern", "PatientLook", "simulate", "write_archive", "write_video"]
