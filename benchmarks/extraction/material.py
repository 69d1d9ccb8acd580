"""The clips that are encoded: drawn, or somebody's own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clips import draw_clips
from benchmarks.extraction.plan import Plan
from benchmarks.extraction.rivals import frames_of
from lusfx.errors import UsageError


@dataclass(frozen=True, slots=True)
class Material:
    """Clips in one folder.

    :param clips: what the product encodes.
    :param n_frames: of them all.
    :param rival_clips: those that a rival encodes.
    :param n_rival_frames: of these.
    :param given: whether they are somebody's own.
    """

    clips: list[Path]
    n_frames: int
    rival_clips: list[Path]
    n_rival_frames: int
    given: bool

    @property
    def folder(self) -> Path:
        return self.clips[0].parent

    def as_dict(self) -> dict[str, object]:
        """For the result: nothing that names a file."""
        return {"given": self.given, "clips": len(self.clips), "frames": self.n_frames,
                "rival_clips": len(self.rival_clips), "rival_frames": self.n_rival_frames}  # fmt: skip


def gather(plan: Plan, folder: Path, given: Path | None) -> Material:
    """Draw clips, or copy some of those in ``given``.

    Drawn clips are of one size, so a rival, which is slow, may do with few of them; others may differ, so it has them all.

    :param folder: where they may be written.
    :raises UsageError: if there are too few videos in ``given``.
    """
    if given is None:
        clips = draw_clips(folder / "archive", plan.n_clips, plan.n_frames)
        few = clips[: plan.rival_clips]
        return Material(clips, plan.n_clips * plan.n_frames, few, len(few) * plan.n_frames, given=False)
    clips = _copied(given, folder / "archive", plan.n_clips)
    n_frames = sum(1 for clip in clips for _ in frames_of(clip, 8))
    return Material(clips, n_frames, clips, n_frames, given=True)


def _copied(source: Path, folder: Path, n_clips: int) -> list[Path]:
    """Videos from anywhere below a folder, evenly chosen in the order of their paths, under names that say nothing."""
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".mp4", ".avi", ".mov", ".mkv"))
    if len(found) < n_clips:
        raise UsageError(f"--clips: {n_clips} videos (mp4, avi, mov, mkv) are needed, and there are {len(found)}")
    folder.mkdir()
    chosen = [found[number * len(found) // n_clips] for number in range(n_clips)]
    return [
        Path(shutil.copy(path, folder / f"{number:03d}{path.suffix.lower()}")) for number, path in enumerate(chosen)
    ]
