"""How many copied clips are found: clips are encoded again in five ways under other patients, and looked for.

    python tools/measure_copies.py LABELS... --out WORK

LABELS are label tables with ``path`` and ``patient_id`` of real videos. docs/reliability.md has what it printed.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import av
import click
import numpy as np

from lusfx.cache import Cache, Store
from lusfx.engine.extraction.extract import extract
from lusfx.engine.samples.near_duplicates import near_duplicates, near_duplicates_within
from lusfx.engine.samples.readable_frames import ReadableFrames
from lusfx.site_key import SECRET_BYTES, SiteKey

KEY = SiteKey(hashlib.sha256(b"copies").digest()[:SECRET_BYTES])
N_SEEN, N_COPIED, N_OTHERS = 120, 36, 108
Way = tuple[Callable[[int], range], int, int]
"""Which of n frames, how much smaller, and the codec's quality (higher is worse)."""
WAYS: dict[str, Way] = {
    "encoded again": (range, 1, 23),
    "the middle half, encoded again": (lambda n: range(n // 4, max(n // 4 + 1, 3 * n // 4)), 1, 23),
    "every second frame": (lambda n: range(0, n, 2), 1, 23),
    "at half the size": (range, 2, 23),
    "strongly compressed": (range, 1, 40),
}


@click.command()
@click.argument("labels", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Directory to work in.")
def main(labels: tuple[Path, ...], out: Path) -> None:
    """Make copies, encode all, and print how many are found by evaluation and by training."""
    rows = [row | {"path": str(table.parent / row["path"])} for table in labels for row in _rows(table)]
    patients = np.random.default_rng(0).permutation(sorted({row["patient_id"] for row in rows})).tolist()
    by_patient = sorted(rows, key=lambda row: (patients.index(row["patient_id"]), row["path"]))
    seen = by_patient[:N_SEEN]
    others = [row for row in by_patient[N_SEEN:] if row["patient_id"] != seen[-1]["patient_id"]][:N_OTHERS]
    copied = seen[:: N_SEEN // N_COPIED][:N_COPIED]
    copies = {name: [_copy(row, out / name.replace(" ", "-"), way) for row in copied] for name, way in WAYS.items()}
    paths = [Path(row["path"]) for row in [*seen, *others]] + [path for of_way in copies.values() for path in of_way]
    result = extract(paths, out / "cache", site_key=KEY)
    key_of = {path.resolve(): key for path, key in result.clip_of.items()}
    (store,) = Cache.open(out / "cache").stores()
    keys = {row["path"]: key_of[Path(row["path"]).resolve()] for row in [*seen, *others]}
    for name, of_way in copies.items():
        original = {key_of[path.resolve()]: keys[row["path"]] for path, row in zip(of_way, copied, strict=True)}
        found = near_duplicates(store, [keys[row["path"]] for row in seen], sorted(original))
        right = sum(pair.seen == original[pair.key] for pair in found)
        within = _within(store, seen, keys, original)
        print(f"{name}: evaluation {right} of {len(copied)}, {len(found) - right} of another; training {within}")
    started = time.process_time()
    suspected = near_duplicates(store, [keys[row["path"]] for row in seen], [keys[row["path"]] for row in others])
    print(f"{len(others)} clips of other patients: {len(suspected)} suspected, {time.process_time() - started:.1f} s")


def _within(store: Store, seen: list[dict[str, str]], keys: dict[str, str], original: dict[str, str]) -> str:
    """What training would find, the copies being clips of other patients."""
    patient = {keys[row["path"]]: row["patient_id"] for row in seen} | {key: f"copy {key}" for key in original}
    centres = {key: ReadableFrames(store.read(key)).rows.mean(axis=0, dtype=np.float32) for key in patient}
    found = {frozenset((pair.key, pair.seen)) for pair in near_duplicates_within(store, centres, patient)}
    planted = {frozenset(pair) for pair in original.items()}
    return f"{len(found & planted)} of {len(planted)}, {len(found - planted)} other pairs"


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if Path(row["path"]).suffix in (".mp4", ".mov", ".avi", ".gif")]


def _copy(row: dict[str, str], folder: Path, way: Way) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(row['path'].encode()).hexdigest()[:16]}.mp4"
    if path.exists():
        return path
    chosen, shrink, quality = way
    with av.open(row["path"]) as source, av.open(str(path), "w") as made:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
        height, width = (side // shrink // 2 * 2 for side in frames[0].shape[:2])
        stream = made.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(quality)}
        for number in chosen(len(frames)):
            frame = av.VideoFrame.from_ndarray(frames[number], format="rgb24").reformat(width, height, "yuv420p")
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
