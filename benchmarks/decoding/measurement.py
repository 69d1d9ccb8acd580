"""The whole measurement."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.decoding import dicom, video
from benchmarks.decoding.plan import PLANS
from benchmarks.request import Request


def measure(request: Request) -> dict[str, Any]:
    """Measure at the size that is asked for; all that is written is removed at the end."""
    plan = PLANS[request.size]
    with TemporaryDirectory(prefix="lusfx-benchmark-") as folder:
        request.told("video")
        of_video = video.compare(plan.video_frames, plan.rounds, Path(folder))
        of_dicom = dicom.compare(plan.dicom_frames, plan.rounds, Path(folder), request.told)
    return {
        "rivals": {"video": video.RIVAL, "dicom": dicom.RIVAL},
        "plan": plan.as_dict(),
        "video": of_video,
        "dicom": of_dicom,
    }
