"""Whose each clip is, by all ledgers; and an index, so that hundreds of runs over an archive are not read line by line again.

The index is what the oldest ledgers come to. It is derived and disposable, as the stat index is: damaged, or of other
ledgers, it is made anew; where it cannot be written, all ledgers are read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lusfx import durable
from lusfx.cache import sealed
from lusfx.cache.ledger import Membership, is_finished, read_members
from lusfx.cache.ledger_lines import Digest, Exam, Patient, Zone
from lusfx.config import canonical_json
from lusfx.errors import CacheError

FILE_NAME = "memberships.index"
FORMAT = "lusfx-memberships"
VERSION = 2
"""1 had no patient of the file itself."""
WORTH_BYTES = 4 << 20
"""Of ledgers that the index lacks: to read fewer takes a fraction of a second."""
SETTLED_S = 3600
"""A ledger that has not grown for so long is of a run that was killed."""

MAX_BYTES = 1 << 31
"""Of ten million clips."""

Members = dict[str, Membership]
Stamp = tuple[str, int]
"""Name of a ledger, and its size in bytes."""


class _Index(BaseModel):
    """What the index says. Its seal is no proof: anybody can make one."""

    model_config = ConfigDict(strict=True)

    format: Literal["lusfx-memberships"]
    version: Literal[2]
    ledgers: list[Stamp]
    members: dict[Digest, tuple[Patient | None, Exam | None, Zone | None, Patient | None]]


def memberships(directory: Path, ledgers: Sequence[Path]) -> Members:
    """Which patient, exam and zone each clip belongs to, by what the latest run that knew it said.

    :param directory: of the cache.
    :param ledgers: files of all runs, oldest first.
    :raises CacheError: if a ledger cannot be read.
    """
    index = directory / FILE_NAME
    known, members = _load(index)
    if known != _stamps(ledgers[: len(known)]):  # merged with another cache, or a patient's lines were deleted
        known, members = [], {}
    settled = _settled(ledgers[len(known) :])
    n_known = len(known) + len(settled)
    _add(members, ledgers[len(known) : n_known])
    if sum(size for _, size in settled) >= WORTH_BYTES:
        _save(index, [*known, *settled], members)
    _add(members, ledgers[n_known:])
    return members


def _add(members: Members, ledgers: Sequence[Path]) -> None:
    for path in ledgers:
        for clip, member in read_members(path):
            members[clip] = member.or_else(members.get(clip))


def _settled(ledgers: Sequence[Path]) -> list[Stamp]:
    """Stamps of the first of them, up to one that may still grow: an index of later ones alone would say who came last."""
    stamps: list[Stamp] = []
    for path in ledgers:
        stamp = _stamps([path])  # before the look at its end: what a run adds after it is then read again
        if not stamp or not (is_finished(path) or time.time() - path.lstat().st_mtime > SETTLED_S):
            break
        stamps += stamp
    return stamps


def _stamps(ledgers: Sequence[Path]) -> list[Stamp]:
    with contextlib.suppress(FileNotFoundError):
        return [(path.name, path.lstat().st_size) for path in ledgers]
    return []


def _load(index: Path) -> tuple[list[Stamp], Members]:
    """The ledgers that the index has, and what they come to; none where it cannot be used."""
    try:
        facts = _Index.model_validate_json(bytes(sealed.open_seal(sealed.read(index, MAX_BYTES))))
    except (OSError, CacheError, ValidationError):
        return [], {}
    return facts.ledgers, {clip: Membership(*member) for clip, member in facts.members.items()}


def _save(index: Path, ledgers: Sequence[Stamp], members: Members) -> None:
    """Write the index, or do without."""
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "ledgers": [list(stamp) for stamp in ledgers],
        "members": {clip: list(astuple(member)) for clip, member in members.items()},
    }
    body = canonical_json(facts).encode("ascii")
    with contextlib.suppress(OSError):
        durable.write_whole(index, sealed.seal(body), body)
