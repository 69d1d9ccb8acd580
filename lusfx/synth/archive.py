"""A folder of synthetic clips with a label table, in the form of a real one."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import UsageError
from lusfx.synth.simulation import LungPattern, PatientLook, simulate

ZONES = ("L1", "L2", "L3", "R1", "R2", "R3")
FRAME_RATE_HZ = 20
B_LINES_OF_SEVERITY = {0: (0, 0), 1: (1, 3), 2: (3, 6), 3: (7, 11)}
"""Fewest B-lines, and one more than most, of each severity (after Soldati et al. 2020)."""


def write_archive(
    out: Path, *, n_patients: int, clips_per_patient: int = 3, n_frames: int = 24, seed: int = 0, first_patient: int = 1
) -> Path:
    """Write synthetic clips (``clips/*.mp4``) and ``labels.csv``.

    Every patient has its own look and its own severity, the two unrelated, so that only the lung tells the labels.

    :param first_patient: number of the first patient; archives of other numbers have other patients.
    :returns: the label table, with the columns path, patient_id, zone, a_lines, b_lines, severity.
    :raises UsageError: no patient, clip or frame, or a negative seed or patient number.
    """
    if min(n_patients, clips_per_patient, n_frames) < 1 or min(seed, first_patient) < 0:
        raise UsageError("An archive needs a patient, a clip and a frame at least; seed and numbers start at 0")
    (out / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for patient in range(first_patient, first_patient + n_patients):
        generator = np.random.default_rng([seed, patient])
        look = PatientLook.draw(generator)
        usual = patient % len(B_LINES_OF_SEVERITY)
        for number in range(clips_per_patient):
            severity = usual if generator.random() < 0.75 else int(generator.integers(len(B_LINES_OF_SEVERITY)))
            n_b_lines = int(generator.integers(*B_LINES_OF_SEVERITY[severity])) if severity else 0
            pattern = LungPattern(
                a_lines=severity < 2, n_b_lines=n_b_lines, b_line_width=0.03 if severity < 3 else 0.07
            )
            frames = simulate(look, pattern, seed=int(generator.integers(1 << 31)), n_frames=n_frames)
            path = f"clips/synthetic-{patient:04}-{number + 1}.mp4"
            write_video(out / path, frames, FRAME_RATE_HZ)
            rows.append(
                {
                    "path": path,
                    "patient_id": f"synthetic-{patient:04}",
                    "zone": ZONES[number % len(ZONES)],
                    "a_lines": int(pattern.a_lines),
                    "b_lines": int(n_b_lines > 0),
                    "severity": severity,
                }
            )
    table = out / "labels.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return table


def write_video(path: Path, frames: NDArray[np.uint8], frame_rate_hz: int) -> None:
    """Write grey frames ``(n, height, width)`` as MPEG-4 video: the same bytes for the same frames."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=frame_rate_hz)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, frame_rate_hz)
        # With more threads the slices, and with them the pixels, depend on the number of cores.
        stream.codec_context.thread_count = 1
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
