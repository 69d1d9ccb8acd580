"""Synthetic lung ultrasound, for tests and for a first run without data."""

from lusfx.synth.archive import ClipFormat, write_archive
from lusfx.synth.device import DEVICES, Device
from lusfx.synth.findings import Findings
from lusfx.synth.simulation import FrameTruth, PatientLook, SyntheticClip, simulate
from lusfx.synth.site import SITES, Site
from lusfx.synth.video_file import write_video
from lusfx.synth.wall import Habitus

__all__ = [
    "DEVICES",
    "SITES",
    "ClipFormat",
    "Device",
    "Findings",
    "FrameTruth",
    "Habitus",
    "PatientLook",
    "Site",
    "SyntheticClip",
    "simulate",
    "write_archive",
    "write_video",
]
