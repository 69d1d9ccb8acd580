"""The census of a run: what was left out of it, by kind and reason, and what share of the pictures is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lusfx.engine.extraction.file_kinds import FileKind

MAX_SKIPPED = 0.5
"""Share of the pictures that may be skipped or left out before a run says that it was not what was meant."""
NO_PICTURE = frozenset({"no-pixel-data"})
"""Codes of sources that were skipped because they hold no picture: reports, and indices of a medium."""
NOT_CLAIMED = "no reader claims it"


class Why(StrEnum):
    """Why something in a searched folder is no source."""

    NO_READER = "no-reader"
    SYSTEM = "system"
    LINK = "link-leaves-folder"

    @property
    def in_words(self) -> str:
        return {
            Why.NO_READER: NOT_CLAIMED,
            Why.SYSTEM: "a system's own",
            Why.LINK: "the link leads out of the folder",
        }[self]


@dataclass(slots=True)
class Census:
    """What was left out of the searched folders. A folder that was not entered counts once.

    :param counts: how often each kind was left out for each reason.
    :param pictures: files among it that are or hold pictures; shown to nobody.
    """

    counts: Counter[tuple[FileKind, Why]] = field(default_factory=Counter)
    pictures: list[Path] = field(default_factory=list, repr=False)

    def leave_out(self, path: Path, kind: FileKind, why: Why) -> None:
        """Count one file or folder."""
        self.counts[kind, why] += 1
        if kind.is_picture:
            self.pictures.append(path)

    def count(self, why: Why) -> int:
        """How many were left out for a reason."""
        return sum(count for (_, reason), count in self.counts.items() if reason == why)

    def rows(self) -> list[tuple[FileKind, Why, int]]:
        """Kind, reason and number, the most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0][0].name, item[0][1]))
        return [(kind, why, count) for (kind, why), count in ordered]

    def as_list(self) -> list[dict[str, Any]]:
        """For programs."""
        return [
            {"kind": kind.name, "why": str(why), "count": count, "picture": kind.is_picture}
            for kind, why, count in self.rows()
        ]

    def of_reasons(self) -> dict[str, int]:
        """How many were left out for each reason."""
        return {str(why): self.count(why) for why in Why}


@dataclass(frozen=True, slots=True)
class PictureShare:
    """What share of an archive's pictures was skipped or left out.

    A picture is a source, or a file of a picture kind that no reader claims. What was skipped because it holds no picture is
    none, unless there is nothing else: an archive whose images were all removed is no success.

    :param n: pictures in all.
    :param lost: those that were skipped or left out, by code; ``no-reader`` for those that no reader claims.
    """

    n: int
    lost: Mapping[str, int]

    @classmethod
    def of(cls, found: int, skipped: Iterable[str], left_out: int) -> PictureShare:
        """Of a run.

        :param found: sources, of all of which it is known what became of them.
        :param skipped: codes of those that were skipped.
        :param left_out: files of a picture kind that no reader claims.
        """
        codes = Counter(skipped)
        n_without = sum(codes[code] for code in NO_PICTURE)
        if found + left_out > n_without:
            found -= n_without
            codes = Counter({code: n for code, n in codes.items() if code not in NO_PICTURE})
        if left_out:
            codes[str(Why.NO_READER)] += left_out
        return cls(found + left_out, codes)

    @property
    def n_lost(self) -> int:
        return sum(self.lost.values())

    @property
    def share(self) -> float:
        """From 0 to 1; 0 of nothing."""
        return self.n_lost / self.n if self.n else 0.0

    def exceeds(self, max_skipped: float) -> bool:
        """Whether it is more than a user allows."""
        return self.share > max_skipped

    def sentence(self, max_skipped: float) -> str:
        """What to tell of a share that is too large."""
        code, count = min(self.lost.items(), key=lambda item: (-item[1], item[0]))
        most = NOT_CLAIMED.replace("it", "them") if code == Why.NO_READER else f"code '{code}'"
        return (
            f"{self.n_lost} of {self.n} pictures were skipped or left out, more than the share of {max_skipped:g} that "
            f"--max-skipped allows; the most frequent reason, {count} times: {most}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"pictures": self.n, "lost": dict(self.lost), "share": round(self.share, 6)}


def census_as_dict(census: Census, share: PictureShare, max_skipped: float) -> dict[str, Any]:
    """For programs: what was left out, and what share of the pictures is lost of which share may be."""
    return {"left_out": census.as_list(), "max_skipped": max_skipped, **share.as_dict()}
