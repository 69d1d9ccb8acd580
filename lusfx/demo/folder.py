"""The demo's own folder: what it was begun with, and how long its work took, so that a later run goes on and can compare."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lusfx.errors import UsageError
from lusfx.messages import system_reason
from lusfx.patience import replace
from lusfx.site_key import SiteKey

MARKER = "demo.json"
FORMAT, VERSION = "lusfx-demo", 1


@dataclass(slots=True)
class DemoFolder:
    """A directory that the demo began.

    :param work_s: seconds that drawing and encoding took, over all runs that did any of it.
    """

    directory: Path
    n_patients: int
    seed: int
    work_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, directory: Path, n_patients: int, seed: int) -> DemoFolder:
        """Begin a demo in a directory that is missing or empty, or go on with one.

        :raises UsageError: if the directory holds something else, or a demo of other patients.
        """
        begun = cls(directory, n_patients, seed)
        try:
            names = os.listdir(directory) if directory.exists() else []  # noqa: PTH208 - of a file this raises, as it should
        except OSError as error:
            raise UsageError(f"OUT cannot be used: {system_reason(error)}") from None
        if MARKER not in names:
            if any(not name.startswith(f".{MARKER}") for name in names):  # which a crash of a first run leaves
                raise UsageError("OUT holds something that is no demo of lusfx. Name a directory that is new or empty")
            begun.save()
            return begun
        facts = _facts(directory / MARKER)
        if (facts["patients"], facts["seed"]) != (n_patients, seed):
            raise UsageError(
                f"OUT holds a demo with --patients {facts['patients']} --seed {facts['seed']}. Give the same, or name another "
                "directory"
            )
        begun.work_s = facts["work_s"]
        return begun

    def save(self) -> None:
        """Write the marker, whole or not at all."""
        facts = {
            "format": FORMAT,
            "format_version": VERSION,
            "patients": self.n_patients,
            "seed": self.seed,
            "work_s": self.work_s,
        }
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = self.directory / f".{MARKER}.new"
            temporary.write_text(json.dumps(facts, indent=2), encoding="utf-8")
            replace(temporary, self.directory / MARKER)
        except OSError as error:
            raise UsageError(f"OUT cannot be written: {system_reason(error)}") from None

    def add_work(self, stage: str, seconds: float) -> None:
        """Count time in which something was made that later runs find."""
        self.work_s[stage] = self.work_s.get(stage, 0.0) + seconds
        self.save()

    def site_key(self) -> SiteKey:
        """The demo's own: its patients are nobody, and the user's key is for those who are somebody.

        Made of the seed, because folds follow pseudonyms: one seed, one demo.
        """
        file = self.directory / "site.key"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(hashlib.sha256(f"{FORMAT} {self.seed}".encode()).hexdigest() + "\n", encoding="ascii")
        return SiteKey.load(file)

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    def patients(self, name: str) -> Path:
        """Folder of a set of patients."""
        return self.directory / "exams" / name

    def model(self, task: str) -> Path:
        """Directory of a task model."""
        return self.directory / "models" / task

    def evaluation(self, task: str, name: str) -> Path:
        """Report of a task model on a test set."""
        return self.directory / "evaluations" / f"{task}-{name}.html"


def _facts(marker: Path) -> dict[str, Any]:
    try:
        facts = json.loads(marker.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT or facts["format_version"] != VERSION:
            raise ValueError
        return {
            "patients": int(facts["patients"]),
            "seed": int(facts["seed"]),
            "work_s": {str(stage): float(seconds) for stage, seconds in facts["work_s"].items()},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(
            f"OUT is no demo of this lusfx: its {MARKER} is damaged or foreign. Name another directory"
        ) from None
