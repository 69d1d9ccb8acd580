"""A folder of synthetic clips with label tables, in the form of a real one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lusfx.errors import UsageError
from lusfx.messages import system_reason
from lusfx.synth.case_mix import ZoneFindings, draw_case, draw_finding, draw_look, zone_of
from lusfx.synth.dicom_file import Names, installed_syntaxes, write_dicom
from lusfx.synth.simulation import PatientLook, SyntheticClip, simulate
from lusfx.synth.site import Site, site_named
from lusfx.synth.video_file import has_encoder, write_video
from lusfx.tables import Cell, write_table

ClipFormat = Literal["mp4", "dicom", "mixed"]
CLIPS_AN_EXAM = 6
CLIPS = "clips"
OWN_CLIP = re.compile(r"synthetic-(?:[a-z]+-)?\d{4,}-\d+\.(?:mp4|dcm)")
"""What the simulator calls its files."""
LOOK_STREAM, CASE_STREAM = 0, 1
"""Numbers that keep the random numbers of looks apart from those of diseases."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip before it is drawn.

    :param number: of the patient's clips, from 1; ``seed`` is of the drawing.
    """

    site: str
    patient_id: str
    exam_id: str
    exam_number: int
    number: int
    look: PatientLook
    finding: ZoneFindings
    disease: str
    seed: int


def write_archive(
    out: Path,
    *,
    n_patients: int,
    clips_per_patient: int = 3,
    n_frames: int = 24,
    seed: int = 0,
    first_patient: int = 1,
    site: str = "local",
    clip_format: ClipFormat = "mp4",
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write synthetic clips (``clips/``), ``labels.csv`` and ``frames.csv``.

    Every patient has its own look and its own disease, the two unrelated, so that only lung and pleura tell the labels. A
    patient's clips depend on the seed, the site and the patient's number only.

    :param first_patient: number of the first patient; archives of other numbers have other patients.
    :param site: name of one of :data:`lusfx.synth.SITES`.
    :param clip_format: of the files; ``mixed`` writes a patient's clips as video or as DICOM, patient by patient.
    :param force: write into a directory that is not empty. The simulator's clips of before go, and so do its tables; what else
        is there stays.
    :param progress: told after each clip how many are written, and of how many.
    :returns: the label table of the clips.
    :raises UsageError: no patient, clip or frame, a negative seed or patient number, an unknown site or format; a directory
        that is not empty, or cannot be written; a label table there that the simulator did not write.
    """
    if min(n_patients, clips_per_patient, n_frames) < 1 or min(seed, first_patient) < 0:
        raise UsageError("An archive needs a patient, a clip and a frame at least; seed and numbers start at 0")
    if clip_format not in {"mp4", "dicom", "mixed"}:
        raise UsageError(f"there is no clip format '{clip_format}'; there are: mp4, dicom, mixed")
    place = site_named(site)
    _begin_directory(out, force)
    clip_rows: list[dict[str, Cell]] = []
    frame_rows: list[dict[str, Cell]] = []
    n_clips = n_patients * clips_per_patient
    for patient in range(first_patient, first_patient + n_patients):
        for planned in plan_patient(place, patient, clips_per_patient, seed):
            clip = simulate(planned.look, planned.finding.findings, seed=planned.seed, n_frames=n_frames)
            as_dicom = clip_format == "dicom" or (clip_format == "mixed" and patient % 2 == 0)
            path = _write_clip(out, planned, clip, f"{seed}/{site}", patient, as_dicom=as_dicom)
            clip_rows.append(_clip_row(path, planned, clip))
            frame_rows += _frame_rows(path, planned, clip)
            if progress is not None:
                progress(len(clip_rows), n_clips)
    write_table(out / "frames.csv", dict.fromkeys(frame_rows[0], "text"), frame_rows)
    write_table(out / "labels.csv", dict.fromkeys(clip_rows[0], "text"), clip_rows)
    return out / "labels.csv"


def _begin_directory(out: Path, force: bool) -> None:
    """Make the archive's directory; of an archive that may be replaced, remove the clips, which its table would not have.

    :raises UsageError: if it is not empty and may not be replaced, or cannot be written.
    """
    try:
        if out.is_dir() and not force and any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise UsageError(
                "the directory for the synthetic clips is not empty, and nothing was written. Name another one, or replace the "
                "clips and tables that are there: --force"
            )
        _check_tables(out)
        (out / CLIPS).mkdir(parents=True, exist_ok=True)
        for clip in (out / CLIPS).iterdir():
            if OWN_CLIP.fullmatch(clip.name) and clip.is_file():
                clip.unlink()
    except OSError as error:
        raise UsageError(f"the synthetic clips cannot be written: {system_reason(error)}") from None


def _check_tables(out: Path) -> None:
    """Refuse a folder with a table of the same name that is somebody's own: labels are a reader's work of weeks."""
    for name in ("labels.csv", "frames.csv"):
        try:
            with (out / name).open("rb") as table:
                ours = table.read(len(OUR_COLUMNS)) == OUR_COLUMNS
        except FileNotFoundError:
            continue
        if not ours:
            raise UsageError(f"the folder has another {name}, which would be lost. Choose another folder")


OUR_COLUMNS = b"path,patient_id,exam_id,zone,view,"


def plan_patient(site: Site, patient: int, n_clips: int, seed: int) -> Iterator[PlannedClip]:
    """What is to be drawn of a patient."""
    place = tuple(site.drawn_as.encode())
    look = draw_look(site, np.random.default_rng([seed, LOOK_STREAM, patient, *place]))
    generator = np.random.default_rng([seed, CASE_STREAM, patient, *place])
    case = draw_case(site, patient, seed, generator)
    # The local site's patients have the plain names; one of another site is somebody else, whatever the number.
    name = f"synthetic-{patient:04}" if site.name == "local" else f"synthetic-{site.name}-{patient:04}"
    for number in range(n_clips):
        exam = number // CLIPS_AN_EXAM + 1
        finding = draw_finding(case, zone_of(patient, number), generator)
        yield PlannedClip(
            site=site.name,
            patient_id=name,
            exam_id=f"{name}-exam-{exam}",
            exam_number=exam,
            number=number + 1,
            look=look,
            finding=finding,
            disease=case.disease,
            seed=int(generator.integers(1 << 31)),
        )


def _write_clip(
    out: Path, planned: PlannedClip, clip: SyntheticClip, origin: str, patient: int, *, as_dicom: bool
) -> str:
    """Write a clip's file; its path relative to the archive."""
    name = f"{planned.patient_id}-{planned.number}"
    path = f"{CLIPS}/{name}.{'dcm' if as_dicom else 'mp4'}"
    if as_dicom:
        syntaxes = installed_syntaxes()
        names = Names(origin, planned.patient_id, planned.exam_id, name, planned.exam_number, planned.number)
        write_dicom(out / path, clip, names, syntaxes[(patient + planned.number) % len(syntaxes)])
    else:
        frames = clip.in_colour() if clip.look.device.tint else clip.frames
        h264 = planned.number % 2 == 1 and has_encoder("libx264")
        write_video(out / path, frames, clip.look.device.frame_rate_hz, "libx264" if h264 else "mpeg4")
    return path


def _clip_row(path: str, planned: PlannedClip, clip: SyntheticClip) -> dict[str, Cell]:
    """One row of ``labels.csv``; blank where a question makes no sense."""
    findings, truth = planned.finding.findings, clip.truth
    lung = any(frame.lung for frame in truth)
    severity = planned.finding.severity
    return {
        "path": path,
        "patient_id": planned.patient_id,
        "exam_id": planned.exam_id,
        "zone": planned.finding.zone,
        "view": findings.view,
        "a_lines": int(any(frame.a_lines for frame in truth)) if lung else "",
        "b_lines": int(any(frame.n_b_lines for frame in truth)) if lung else "",
        "n_b_lines": max(frame.n_b_lines for frame in truth) if lung else "",
        "severity": "" if severity is None else severity,
        "effusion": int(any(frame.effusion for frame in truth)) if findings.view == "pleural" else "",
        "consolidation": int(any(frame.consolidation for frame in truth)),
        "sliding": int(findings.sliding) if lung and findings.view == "parenchymal" else "",
        "site": planned.site,
        "device": planned.look.device.name,
        "probe": planned.look.probe,
        "disease": planned.disease,
    }


def _frame_rows(path: str, planned: PlannedClip, clip: SyntheticClip) -> Iterator[dict[str, Cell]]:
    """The rows of ``frames.csv``: 0 and 1 under the names of ``labels.csv``, counts under their own."""
    findings = planned.finding.findings
    for number, frame in enumerate(clip.truth):
        yield {
            "path": path,
            "patient_id": planned.patient_id,
            "exam_id": planned.exam_id,
            "zone": planned.finding.zone,
            "view": findings.view,
            "frame": number,
            "a_lines": int(frame.a_lines) if frame.lung else "",
            "b_lines": int(frame.n_b_lines > 0) if frame.lung else "",
            "n_b_lines": frame.n_b_lines if frame.lung else "",
            "effusion": int(frame.effusion) if findings.view == "pleural" else "",
            "consolidation": int(frame.consolidation),
        }
