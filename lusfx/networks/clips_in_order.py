"""Decoding for training: several clips at a time, in limited processes, and given out in the order in which they are named."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lusfx.cache import stamped_clip_key
from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.decoding.clip import Ending, Event, Portion, Refusal
from lusfx.engine.extraction.decoding.decoders import make_decoders, workers_for
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.sources import Source
from lusfx.errors import ClipError, UnreadableClipError
from lusfx.networks.spread_frames import SpreadFrames
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.types import FrameStatus

TAKEN = "taken"
CLIPS_AHEAD = 2
"""So many clips a decoder may be begun: while one takes long, those behind it wait with the frames that are kept of them."""
LONGEST_CLIP = 1_000_000
"""Frames of the longest clip. Of any length only a few frames are held; this bounds what a decoder may send."""


@dataclass(slots=True, eq=False)
class ClipInTurn:
    """A source from when its turn has come, with the frames that are kept of it.

    :param key: of its content.
    :param frames: that are kept of it so far.
    :param ending: what the decoder said at its end; None before.
    :param counted_as: what the counts call it, where that is known without its frames.
    """

    source: Source
    frames: SpreadFrames
    key: str = ""
    ending: Ending | None = None
    counted_as: str | None = None

    @property
    def settled(self) -> bool:
        return self.ending is not None or self.counted_as is not None


class ClipsInOrder:
    """Decodes sources, several at a time, and gives them out in their order: so what is kept depends on that alone.

    :param most: frames of a clip that are wanted at most.
    :param held: keys of the clips that need no decoding.
    """

    def __init__(
        self,
        spec: PreprocessSpec,
        registry: Registry,
        site_key: SiteKey,
        most: int,
        held: set[str],
        stop: threading.Event,
    ) -> None:
        n_workers = workers_for(registry)
        limits = replace(Limits.of_environment(), max_frames=LONGEST_CLIP)
        # Every frame may be chosen, also those that an encoder skips.
        every_frame = spec.model_copy(update={"stride": 1, "fps": None})
        self._decoders = make_decoders(every_frame, site_key, n_workers, limits)
        self._n_ahead = max(1, CLIPS_AHEAD * n_workers)
        self._jobs = Jobs(self._n_ahead, copy=lambda _job: None)  # of one content there is one job
        self._most = most
        self._held = held
        self._stop = stop
        self._seen: set[str] = set()
        self._in_order: deque[ClipInTurn] = deque()
        self._in_hand: dict[Job, ClipInTurn] = {}

    def run(self, sources: Sequence[Source]) -> Generator[ClipInTurn]:
        """Each source once it is settled, in their order; fewer where the run is stopped."""
        coming = iter(sources)
        # Whoever takes the clips waits whenever it asks for one.
        with contextlib.closing(self._decoders.run(self._jobs, self._stop.is_set, hungry=lambda: True)) as events:
            while True:
                for source in islice(coming, self._n_ahead - len(self._in_order)):
                    self._take_in(source)
                if not self._in_order:
                    return
                while not self._in_order[0].settled:
                    following = next(events, None)
                    if following is None:
                        return
                    self._handle(*following)
                yield self._in_order.popleft()

    def _take_in(self, source: Source) -> None:
        clip = ClipInTurn(source, SpreadFrames(self._most))
        self._in_order.append(clip)
        try:
            if source.reader is None:
                raise UnreadableClipError(source.problem or "unknown-format", "no reader claims this kind of file")
            clip.key, stamp = stamped_clip_key(source.path)
        except ClipError as error:
            clip.counted_as = f"failed: {error.code}"
            return
        if clip.key in self._seen:
            clip.counted_as = "the same content again"
        elif clip.key in self._held:
            clip.counted_as = TAKEN
        else:
            job = Job(source, clip.key, stamp)
            self._in_hand[job] = clip
            self._jobs.put(job, self._stop.is_set)
        self._seen.add(clip.key)

    def _handle(self, job: Job, event: Event) -> None:
        clip = self._in_hand[job]
        if isinstance(event, Portion):
            times_s = event.times_s[event.status == FrameStatus.OK]
            for time_s, image in zip(times_s, event.images, strict=True):
                clip.frames.add(float(time_s), image)
            return
        if isinstance(event, Ending):
            clip.ending = event
        elif isinstance(event, Refusal):
            clip.counted_as = f"{event.status}: {event.code}"
        del self._in_hand[job]
        self._jobs.ended(job, decoded=clip.ending is not None)
