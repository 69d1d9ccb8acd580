"""Clips of the demo to look through, with what the models say of each frame. They are synthetic, so they may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Store
from lusfx.config import PreprocessSpec
from lusfx.contracts import Reader
from lusfx.demo.folder import DemoFolder
from lusfx.demo.hospital import LABELS, PatientSet
from lusfx.engine.extraction.extract import ExtractResult
from lusfx.engine.extraction.sources import reader_of
from lusfx.engine.samples.pooling import pooled_stills
from lusfx.engine.scoring.answers import Answer, Panel
from lusfx.errors import UnreadableClipError
from lusfx.plugins import Registry
from lusfx.preprocess import prepare
from lusfx.report import Cine, CineBrowser, encode_picture
from lusfx.site_key import SiteKey
from lusfx.tables import read_table
from lusfx.task_model import TaskModel, UnitFeatures
from lusfx.types import FrameStatus

KINDS: Mapping[str, Mapping[str, str]] = {
    "A-lines": {"view": "parenchymal", "a_lines": "1", "b_lines": "0"},
    "B-lines": {"view": "parenchymal", "a_lines": "0", "b_lines": "1"},
    "no effusion": {"view": "pleural", "effusion": "0"},
    "effusion": {"view": "pleural", "effusion": "1"},
}
"""What clips are shown: of each test set the first that was drawn so, whatever the models say of it."""
COLUMN_OF = {"pleural": "view", "A-lines": "a_lines", "B-lines": "b_lines", "effusion": "effusion"}
SIDE_PX = 288
QUALITIES = (55, 40, 25, 10)
MOST_BYTES = 3_500_000
"""Of all pictures together, which become a third more in the page."""
NOTE = (
    "Every clip is synthetic. A frame's number is what the clip's head says of that frame's embedding by itself. The head "
    "was trained on the mean over a clip's frames and calibrated on clips, so the line shows where in a clip an answer "
    "comes from; a frame's number is no calibrated probability. A question that the view rules out is not asked, and has "
    "no line. 'Drawn' is what the simulator put into the clip."
)


@dataclass(frozen=True, slots=True)
class ShownClip:
    """A clip of a test set.

    :param name: what it was drawn as, and of which set it is; ``labels`` are its cells in the label table.
    """

    name: str
    path: Path
    key: str
    labels: Mapping[str, str]


def choose_clips(folder: DemoFolder, sets: Sequence[PatientSet], extraction: ExtractResult) -> list[ShownClip]:
    """The first clip of each kind in each set."""
    shown = []
    for patients in sets:
        table = folder.patients(patients.name) / LABELS
        rows = read_table(table)
        for kind, wanted in KINDS.items():
            for row in rows:
                path = table.resolve().parent / row["path"]
                key = extraction.clip_of.get(path)
                if key is not None and all(row[column] == cell for column, cell in wanted.items()):
                    shown.append(ShownClip(f"{kind}, {patients.name}", path, key, row.cells))
                    break
    return shown


def prepared_images(
    clips: Sequence[ShownClip], registry: Registry, site_key: SiteKey, spec: PreprocessSpec, n_frames: int
) -> NDArray[np.uint8]:
    """Frames of these clips as the encoder is given them: ``(n_frames, size, size)``, or fewer where there are not so many."""
    images: list[NDArray[np.uint8]] = []
    for clip in clips:
        with _reader(clip.path, registry).open(clip.path, site_key) as opened:
            images += [frame.image for frame in prepare(opened, spec).frames() if frame.image is not None]
        if len(images) >= n_frames:
            break
    return np.stack(images[:n_frames])


def make_browser(
    clips: Sequence[ShownClip], models: Sequence[TaskModel], store: Store, registry: Registry, site_key: SiteKey
) -> CineBrowser:
    """The clips with their frames, the answers to each clip, and what the heads say of each frame."""
    held = {clip.key: store.read(clip.key) for clip in clips}
    answers = Panel(models).ask(held, {}, store.fingerprint)
    pixels = {clip.key: _pixels(clip.path, registry, site_key) for clip in clips}
    pictures = _pictures(pixels)
    cines = []
    for clip in clips:
        embeddings = held[clip.key]
        readable = np.flatnonzero(embeddings.status == FrameStatus.OK)
        rows = embeddings.embeddings[readable].astype(np.float32)
        scores: dict[str, list[float]] = {}
        facts: list[tuple[str, str]] = []
        for model in models:
            (answer,) = answers[model.digest][clip.key]
            facts += _facts(model, answer, clip.labels)
            if answer.probabilities is None:
                continue
            said = model.score(UnitFeatures(pooled_stills(rows, model.card.task.pooling), rows), store.fingerprint)
            scores |= {o.name: said[:, number].tolist() for number, o in enumerate(model.card.outcomes)}
        source_frames = embeddings.source_frame[readable].tolist()
        facts.append(("machine", f"{clip.labels['device']}, {clip.path.suffix[1:]}"))
        cines.append(
            Cine(
                name=clip.name,
                frames=[pictures[clip.key][number] for number in source_frames],
                times_s=embeddings.times_s[readable].tolist(),
                scores=scores,
                facts=facts,
            )
        )
    return CineBrowser(cines, NOTE)


def _facts(model: TaskModel, answer: Answer, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the model says of a clip, beside what was drawn."""
    if answer.probabilities is None:
        why = "nothing" if answer.reason is None else answer.reason.detail
        return [(model.card.task.name, f"not asked: {why}")]
    said = []
    for outcome, probability in zip(model.card.outcomes, answer.probabilities.tolist(), strict=True):
        yes = probability >= outcome.deciding_threshold
        cell = labels[COLUMN_OF[outcome.name]]
        drawn = {"1": "yes", "0": "no", outcome.name: "yes", "": "not drawn"}.get(cell, "no")
        said.append((outcome.name, f"{'yes' if yes else 'no'} ({probability:.2f}); drawn: {drawn}"))
    return said


def _pixels(path: Path, registry: Registry, site_key: SiteKey) -> dict[int, NDArray[np.uint8]]:
    """The readable frames of a clip, by position."""
    with _reader(path, registry).open(path, site_key) as opened:
        return {frame.index: frame.pixels for frame in opened.frames() if frame.pixels is not None}


def _pictures(pixels: Mapping[str, Mapping[int, NDArray[np.uint8]]]) -> dict[str, dict[int, bytes]]:
    """The frames of all clips as small pictures, at the best quality that keeps the page light."""
    pictures: dict[str, dict[int, bytes]] = {}
    for quality in QUALITIES:
        pictures = {
            key: {number: encode_picture(frame, SIDE_PX, quality) for number, frame in frames.items()}
            for key, frames in pixels.items()
        }
        if sum(len(picture) for frames in pictures.values() for picture in frames.values()) <= MOST_BYTES:
            break
    return pictures


def _reader(path: Path, registry: Registry) -> Reader:
    reader = reader_of(path, registry)
    if reader is None:
        raise UnreadableClipError("unknown-format", "no reader claims this kind of file")
    return reader
