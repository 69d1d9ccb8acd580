"""The whole path from Python: synthetic exams, extraction, a task, scores. Run it in an empty folder.

pip install lusfx lusfx-ab-lines
python python_api.py
"""

from __future__ import annotations

import csv
from pathlib import Path

import lusfx
from lusfx.synth import write_archive


def main(folder: Path) -> None:
    labels = write_archive(folder / "exams", n_patients=16, clips_per_patient=2, n_frames=6)

    extracted = lusfx.extract([labels], folder / "cache")
    print(extracted.summary())

    (result,) = lusfx.train_task(["b-lines"], labels, folder / "cache", folder / "b-lines", n_folds=3)
    print(result.summary())

    new = write_archive(folder / "new", n_patients=4, clips_per_patient=2, n_frames=6, seed=1, first_patient=101)
    scored = lusfx.score([new], [folder / "b-lines"], folder / "cache", folder / "scores.csv")
    print(scored.summary())

    with (folder / "scores.csv").open() as stream:
        for row in csv.DictReader(stream):
            print(row["clip"][:12], row["patient"], f"{float(row['probability']):.2f}", row["at_balanced"])


if __name__ == "__main__":
    main(Path())
