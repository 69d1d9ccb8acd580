"""The clips that are encoded: drawn, or somebody's own."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clips import draw_clips
from benchmarks.extraction.plan import Plan
from benchmarks.pyav_frames import decoded_by_pyav
from lusfx.errors import UsageError
from lusfx.readers.video import VideoReader


@dataclass(frozen=True, slots=True)
class Material:
    """Clips in one folder.

    :param clips: what the product encodes.
    :param n_frames: of them all.
    :param rival_clips: those that a rival encodes.
    :param n_rival_frames: of these.
    :param frame_size: width and height of their frames.
    :param given: whether they are somebody's own.
    """

    clips: list[Path]
    n_frames: int
    rival_clips: list[Path]
    n_rival_frames: int
    frame_size: tuple[int, int]
    given: bool

    @property
    def folder(self) -> Path:
        return self.clips[0].parent

    def as_dict(self) -> dict[str, object]:
        """For the result: nothing that names a file."""
        width, height = self.frame_size
        return {"given": self.given, "clips": len(self.clips), "frames": self.n_frames, "width": width, "height": height,
                "rival_clips": len(self.rival_clips), "rival_frames": self.n_rival_frames}  # fmt: skip


def gather(plan: Plan, folder: Path, given: Path | None) -> Material:
    """Draw clips, or copy some of those in ``given``. All are of one frame size, so a rival, which is slow, may do with few.

    :param folder: where they may be written.
    :raises UsageError: if there are too few videos of one size in ``given``.
    """
    if given is None:
        clips = draw_clips(folder / "archive", plan.n_clips, plan.n_frames)
    else:
        clips = _copied(given, folder / "archive", plan.n_clips)
    n_frames = [sum(1 for _ in decoded_by_pyav(clip)) for clip in clips]
    step = plan.n_clips // plan.rival_clips
    return Material(
        clips, sum(n_frames), clips[::step], sum(n_frames[::step]), _frame_size(clips[0]), given is not None
    )


def _copied(source: Path, folder: Path, n_clips: int) -> list[Path]:
    """Videos from anywhere below a folder: of those of its commonest frame size some, evenly chosen in the order of their
    paths, under names that say nothing.
    """
    by_size = defaultdict(list)
    for path in sorted(path for path in source.rglob("*") if path.suffix.lower() in VideoReader.suffixes):
        by_size[_frame_size(path)].append(path)
    found = max(by_size.values(), key=len, default=[])
    if len(found) < n_clips:
        raise UsageError(f"--clips: {n_clips} videos of one frame size are needed, and there are {len(found)}")
    folder.mkdir()
    chosen = [found[number * len(found) // n_clips] for number in range(n_clips)]
    return [
        Path(shutil.copy(path, folder / f"{number:03d}{path.suffix.lower()}")) for number, path in enumerate(chosen)
    ]


def _frame_size(clip: Path) -> tuple[int, int]:
    """Width and height.

    :raises UsageError: if it is no video.
    """
    import av

    try:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            return stream.width, stream.height
    except (av.FFmpegError, IndexError):
        raise UsageError("--clips: one of the files is no video") from None
