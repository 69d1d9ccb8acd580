"""An archive of good clips among bad files, and what ``lusfx extract`` made of each of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lusfx.cache import Cache, clip_key
from lusfx.errors import UnreadableClipError
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings
from tests.faults.children import environment
from tests.faults.memory import most_resident_mib
from tests.golden.make import FIRST, SECRET

LONGEST_S = 900
MAX_RSS_MIB = 1500


@dataclass(frozen=True)
class Extraction:
    """What ``lusfx extract --json`` said and did.

    :param peak_mib: the most memory that the process held.
    """

    code: int
    out: str
    err: str
    cache: Path
    peak_mib: float

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.out)
        return facts

    def codes(self) -> dict[str, str]:
        """The code of each source that has no embeddings, by the source's key."""
        return {trouble["source"]: trouble["code"] for trouble in self.facts["troubles"]}

    def embeddings_of(self, path: Path) -> ClipEmbeddings | None:
        """What the cache holds of a file."""
        try:
            key = clip_key(path)
        except UnreadableClipError:
            return None
        (store,) = Cache.open(self.cache).stores()
        return store.read(key) if key in store else None


def same(found: ClipEmbeddings | None, expected: ClipEmbeddings | None) -> bool:
    """Whether both are there, and the same to the bit."""
    return (
        found is not None
        and expected is not None
        and np.array_equal(found.embeddings, expected.embeddings, equal_nan=True)
        and np.array_equal(found.status, expected.status)
        and np.array_equal(found.times_s, expected.times_s, equal_nan=True)
    )


def write_site_key(folder: Path) -> SiteKey:
    """A site key file, for the environment of :func:`extract`."""
    (folder / "site.key").write_text(SECRET.hex())
    (folder / "site.key").chmod(0o600)
    return SiteKey(SECRET)


def plain_encoder(folder: Path) -> Path:
    """The golden encoder, made to take whole frames: what a frame shows then decides its embedding, and no other frame does."""
    made = Path(shutil.copytree(FIRST.encoder, folder / "encoder"))
    card = json.loads((made / "encoder.json").read_text())
    card["preprocess"] |= {"beam": "off", "crop": "none"}
    (made / "encoder.json").write_text(json.dumps(card))
    return made


def lusfx(folder: Path, *arguments: object, **more: str) -> Extraction:
    """Run a command in a process of its own, in ``folder``, with that folder's site key.

    :param more: environment variables.
    """
    variables = environment() | {"LUSFX_SITE_KEY": str(folder / "site.key"), "PYTHONWARNINGS": "error"} | more
    with (folder / "out").open("w+b") as out, (folder / "err").open("w+b") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "lusfx", *map(str, arguments)], cwd=folder, env=variables, stdout=out, stderr=err
        )
        peak_mib = most_resident_mib(child)
        out.seek(0)
        err.seek(0)
        said = [stream.read().decode("utf-8", "replace") for stream in (out, err)]
    return Extraction(child.returncode, *said, folder / "cache", peak_mib)


def extract(folder: Path, exams: Path, encoder: Path) -> Extraction:
    """Run ``lusfx extract`` on a folder of exams, into the cache ``folder/cache``."""
    return lusfx(
        folder, "extract", exams, "--cache", folder / "cache", "--encoder", encoder, "--device", "cpu", "--json"
    )
