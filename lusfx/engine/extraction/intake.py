"""From sources to jobs: hash each file, settle what the cache has, and pass the rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lusfx.cache import Stamp, stamped_clip_key
from lusfx.engine.extraction.decoding.clip import Refusal
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.profile import Profile
from lusfx.engine.extraction.sources import Source
from lusfx.errors import ClipError
from lusfx.messages import system_reason

PROBLEMS = {
    "link-leaves-folder": "the link leads out of the folder that was searched",
    "cannot-open": "the folder cannot be listed",
}
"""What is told of a source that cannot even be tried."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one source.

    :param status: ``encoded``, ``cached``, ``failed`` or ``skipped``.
    :param stamp: of the file whose content was hashed.
    :param patient_key: as the manifest says, or else the file.
    :param file_patient_key: as the file says.
    """

    source: Source
    status: str
    key: str | None = None
    stamp: Stamp | None = None
    patient_key: str | None = None
    file_patient_key: str | None = None
    exam_key: str | None = None
    code: str | None = None
    detail: str | None = None
    notes: tuple[str, ...] = ()
    n_frames: int = 0


class Intake:
    """Reads sources ahead of the decoders. The run itself hashes: a key from a process that parsed a hostile file could be
    another clip's.

    :param is_cached: whether the cache already holds a clip key.
    :param settle: what to do with a source that needs no decoding.
    """

    def __init__(
        self,
        jobs: Jobs,
        is_cached: Callable[[str], bool],
        settle: Callable[[Settlement], None],
        profile: Profile,
        stopping: Callable[[], bool],
    ) -> None:
        self.jobs = jobs
        self.is_cached = is_cached
        self.settle = settle
        self.profile = profile
        self.stopping = stopping

    def run(self, sources: list[Source]) -> None:
        """Take sources in, in their order, until the run is stopping."""
        for source in sources:
            found = self._take_in(source)
            if isinstance(found, Settlement):
                self.settle(found)
            elif not self.jobs.put(found, self.stopping):
                return
        self.jobs.close()

    def _take_in(self, source: Source) -> Job | Settlement:
        try:
            if source.reader is None:
                return refused(source, refusal_of_unclaimed(source))
            with self.profile.stage("hashing"):
                key, stamp = stamped_clip_key(source.path)
        except ClipError as error:
            return refused(source, Refusal("failed", error.code, error.detail))
        if self.is_cached(key):
            return Settlement(source, "cached", key, stamp, source.patient_key, exam_key=source.exam_key)
        return Job(source, key, stamp)


def refused(source: Source, refusal: Refusal, key: str | None = None) -> Settlement:
    """The settlement of a source that comes to nothing; what a manifest says of it counts more than what the file does."""
    return Settlement(
        source,
        refusal.status,
        key,
        None,
        source.patient_key or refusal.patient_key,
        refusal.patient_key,
        source.exam_key or refusal.exam_key,
        refusal.code,
        refusal.detail,
    )


def refusal_of_unclaimed(source: Source) -> Refusal:
    """Why a source without a reader is not decoded."""
    if source.problem is not None:
        return Refusal("failed", source.problem, PROBLEMS[source.problem])
    try:
        source.path.stat()
    except OSError as error:  # a folder above it may be closed, or the name too long
        return Refusal("failed", "cannot-open", f"the file cannot be read: {system_reason(error)}")
    return Refusal("failed", "unknown-format", "no reader claims this kind of file")
