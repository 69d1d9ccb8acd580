"""Compressed frames in their fragments (PS3.5 A.4; PS3.3 C.7.6.3.1.7 and .8 of the extended offset table).

What a file says of its frames, NumberOfFrames and offset tables, is compared with the fragments that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO

from lusfx.readers.dicom_codestreams import END_OF_CODESTREAM, begins_codestream

ITEM = (0xFFFE, 0xE000)
ITEM_HEAD = struct.Struct("<HHL")
EDGE_BYTES = 16
"""How much is read of a fragment's begin and end to see what it is."""
MOST_FRAGMENTS = 10_000_000


@dataclass(frozen=True, slots=True)
class Fragment:
    """:param offset: of the item's head from the first one's, as offset tables count. ``length`` is of what is there."""

    offset: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class EncodedFrames:
    """Frames by their fragments."""

    stream: IO[bytes]
    groups: Sequence[Sequence[Fragment]]
    are_joined: bool = False
    """Whether all frames lie in one fragment, one codestream behind the other."""

    @classmethod
    def find(cls, stream: IO[bytes], start: int, n_declared: int, extended_offsets: bytes | None) -> EncodedFrames:
        """Group the fragments.

        An offset table is believed where each entry is where a fragment begins and no frame has two beginnings. Else a frame
        begins where a codestream does, or behind the end of one.

        :param start: where the offset table's item begins.
        """
        table, fragments = _walk(stream, start)
        if extended_offsets:
            table = extended_offsets[: len(extended_offsets) // 8 * 8]
        offsets = struct.unpack(f"<{len(table) // 8}Q" if extended_offsets else f"<{len(table) // 4}L", table)
        groups = _by_offsets(fragments, offsets)
        if groups is not None and (len(groups) == len(fragments) or _are_sound(stream, groups)):
            groups = _without_empty(groups, n_declared)
            return cls(stream, groups, _is_joined(stream, groups))
        # A fragment a frame is what nearly all machines write, so that nobody need look into each.
        begins = [_begins_frame(_edge(stream, fragment)) for fragment in fragments]
        if all(begins) or (len(fragments) == n_declared and sum(begins) > len(begins) / 2):
            groups = [[fragment] for fragment in fragments]
        else:
            groups = _by_marks(stream, fragments, begins)
        groups = _without_empty(groups, n_declared)
        return cls(stream, groups, _is_joined(stream, groups))

    @classmethod
    def without_fragments(cls, stream: IO[bytes], start: int, length: int) -> EncodedFrames:
        """Frames of a value that is codestreams, one behind the other, and nothing else."""
        groups = [[Fragment(0, start, min(length, max(stream.seek(0, 2) - start, 0)))]]
        return cls(stream, groups, _is_joined(stream, groups))

    def __len__(self) -> int:
        return sum(1 for _ in self) if self.are_joined else len(self.groups)

    def __iter__(self) -> Iterator[bytes]:
        if self.are_joined:
            for group in self.groups:
                yield from split_codestreams(self._read(group))
        else:
            for group in self.groups:
                yield self._read(group)

    def some(self, n_frames: int) -> Iterator[bytes]:
        """So many frames, spread over the clip from the first one on."""
        if self.are_joined:
            frames = list(self)
            yield from frames[:: max(len(frames) // n_frames, 1)]
        else:
            for group in self.groups[:: max(len(self.groups) // n_frames, 1)]:
                yield self._read(group)

    def _read(self, group: Sequence[Fragment]) -> bytes:
        parts = []
        for fragment in group:
            self.stream.seek(fragment.start)
            parts.append(self.stream.read(fragment.length))
        return parts[0] if len(parts) == 1 else b"".join(parts)


def split_codestreams(content: bytes) -> Iterator[bytes]:
    """Codestreams that lie one behind the other, with padding or without."""
    place = 0
    while place < len(content):
        end = place
        while (end := content.find(END_OF_CODESTREAM, end)) >= 0:
            end += len(END_OF_CODESTREAM)
            rest = content[end : end + EDGE_BYTES].lstrip(b"\0")
            if not rest or begins_codestream(rest):
                break
        if end < 0:
            end = len(content)
        yield content[place:end]
        place = end
        while place < len(content) and content[place] == 0:
            place += 1


def _walk(stream: IO[bytes], start: int) -> tuple[bytes, list[Fragment]]:
    """The basic offset table and the fragments, as far as the file has them."""
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(start)
    table = b""
    fragments: list[Fragment] = []
    place = first = start
    while len(fragments) < MOST_FRAGMENTS:
        stream.seek(place)
        head = stream.read(ITEM_HEAD.size)
        if len(head) < ITEM_HEAD.size:
            break
        group, element, length = ITEM_HEAD.unpack(head)
        if (group, element) != ITEM:
            break
        content = place + ITEM_HEAD.size
        if place == start:
            table = stream.read(min(length, size))
            first = content + length
        else:
            fragments.append(Fragment(place - first, content, max(min(length, size - content), 0)))
        place = content + length
    return table, fragments


def _by_offsets(fragments: Sequence[Fragment], offsets: Sequence[int]) -> list[Sequence[Fragment]] | None:
    places = {fragment.offset: index for index, fragment in enumerate(fragments)}
    begins = [places.get(offset, -1) for offset in offsets]
    if not begins or begins[0] != 0 or any(later <= earlier for earlier, later in pairwise(begins)):
        return None
    return [fragments[begin:end] for begin, end in pairwise([*begins, len(fragments)])]


def _without_empty(groups: list[Sequence[Fragment]], n_declared: int) -> list[Sequence[Fragment]]:
    """Groups without those of no bytes, where the others are as many as declared; else each is a frame that was lost."""
    filled = [group for group in groups if any(fragment.length for fragment in group)]
    return filled if len(filled) == n_declared else groups


def _are_sound(stream: IO[bytes], groups: Sequence[Sequence[Fragment]]) -> bool:
    """Whether only the first fragment of each frame begins a codestream."""
    return not any(_begins_frame(_edge(stream, fragment)) for group in groups for fragment in group[1:])


def _by_marks(stream: IO[bytes], fragments: Sequence[Fragment], begins: Sequence[bool]) -> list[Sequence[Fragment]]:
    groups: list[list[Fragment]] = []
    is_over = True
    for fragment, is_begin in zip(fragments, begins, strict=True):
        if is_begin or is_over:
            groups.append([])
        groups[-1].append(fragment)
        is_over = _edge(stream, fragment, at_end=True).rstrip(b"\0\xff").endswith(END_OF_CODESTREAM)
    return [*groups]


def _is_joined(stream: IO[bytes], groups: Sequence[Sequence[Fragment]]) -> bool:
    """Whether the only fragment there is holds several frames."""
    if len(groups) != 1:
        return False
    frames = split_codestreams(EncodedFrames(stream, groups)._read(groups[0]))
    return next(frames, None) is not None and next(frames, None) is not None


def _begins_frame(content: bytes) -> bool:
    """Whether a codestream begins here, or run lengths, whose first segment always begins behind their header (PS3.5 G.5)."""
    if begins_codestream(content):
        return True
    return len(content) >= 8 and 1 <= int.from_bytes(content[:4], "little") <= 15 and content[4:8] == b"\x40\0\0\0"


def _edge(stream: IO[bytes], fragment: Fragment, *, at_end: bool = False) -> bytes:
    """The first or last bytes of a fragment."""
    n_bytes = min(EDGE_BYTES, fragment.length)
    stream.seek(fragment.start + (fragment.length - n_bytes if at_end else 0))
    return stream.read(n_bytes)
