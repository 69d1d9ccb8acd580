"""A look at an archive before it is encoded: what would be read, what would be skipped or fail, what would be left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.census import MAX_SKIPPED, Census, PictureShare, census_as_dict
from lusfx.engine.extraction.decoding.clip import Picture, Refusal
from lusfx.engine.extraction.decoding.decoders import make_decoders, workers_for
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.intake import refusal_of_unclaimed
from lusfx.engine.extraction.sources import Source, discover
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey


@dataclass(slots=True)
class Survey:
    """What was found; nothing was written. ``found == readable + skipped + failed``, codes with their numbers.

    :param readable: sources whose first frame can be drawn.
    """

    found: int
    census: Census
    readable: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def picture_share(self) -> PictureShare:
        """What share of the pictures would be skipped or left out."""
        return PictureShare.of(self.found, self.skipped.elements(), len(self.census.pictures))

    def count(self, refusal: Refusal) -> None:
        """Count a source that nothing would come of."""
        (self.skipped if refusal.status == "skipped" else self.failed)[refusal.code] += 1

    def as_dict(self) -> dict[str, Any]:
        """For programs: the ``sources`` that ``lusfx doctor --json`` prints."""
        return {
            "found": self.found,
            "readable": self.readable,
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
            "census": census_as_dict(self.census, self.picture_share, MAX_SKIPPED),
        }


def survey(places: Sequence[Path], spec: PreprocessSpec, registry: Registry, site_key: SiteKey) -> Survey:
    """Open every source and prepare its first frame, in limited processes, as an extraction would.

    :param places: folders, files and manifests.
    :param spec: how frames are prepared.
    :raises UsageError: as :func:`~lusfx.engine.extraction.sources.discover` does.
    :raises DecoderError: if no decoding process can be started.
    """
    found = discover(places, registry, site_key, known=lambda _path: False)
    result = Survey(len(found.sources), found.census)
    jobs = Jobs(max(len(found.sources), 1), copy=lambda _job: None)
    for number, source in enumerate(found.sources):
        if source.reader is None:
            result.count(refusal_of_unclaimed(source))
        else:
            jobs.put(_job(source, number), stopping=lambda: False)
    jobs.close()
    # The beam is found on frames of the whole clip, and here nobody asks for it: one frame is enough.
    first_frames = spec.model_copy(update={"beam": "off"})
    decoders = make_decoders(first_frames, site_key, workers_for(registry), Limits.of_environment())
    for job, event in decoders.run(jobs, stopping=lambda: False, hungry=lambda: True):
        if isinstance(event, Refusal):
            result.count(event)
        else:
            assert isinstance(event, Picture)
            result.readable += 1
        jobs.ended(job, decoded=True)
    return result


def _job(source: Source, number: int) -> Job:
    return Job(source, key=str(number), stamp=None, drawn_frame=0)
