"""A line where a site key was made: whoever loses it cannot tell the patients of before from new ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lusfx.cli import output
from lusfx.site_key import site_key_file


@contextmanager
def told_of() -> Iterator[None]:
    """Say where a key lies that was made within the block, however that ends."""
    file = site_key_file()
    was_there = file.exists()
    try:
        yield
    finally:
        if not was_there and file.exists():
            note = f"note: a site key was made, {file}: back it up, since all pseudonyms of patients rest on it"
            output.say(note, err=True)
