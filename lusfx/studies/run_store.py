"""The stored scores of a study: a file a training, named by the digest of everything that decides it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.config import canonical_json
from lusfx.durable import make_directory, write_whole
from lusfx.errors import LusfxError
from lusfx.messages import system_reason
from lusfx.studies.plan import Run
from lusfx.studies.units import AskedUnits

RUNS, UNITS = "runs", "units"
CHECK = "sha256"


class StudyError(LusfxError):
    """The study's directory cannot be used, or is not what was written."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a training gave.

    :param of_test: scores from 0 to 1 of the rows that the run is judged on, by test set.
    :param refused: why nothing could be learnt; then there are no scores. None where it could.
    :param seconds: that the training and the scoring took, with the trainings of inner folds.
    :param merit: AUC out of the inner folds of the training side, 0 to 1; None where none was asked for, or the training side
        has too few patients to hold any out.
    """

    of_test: Mapping[str, NDArray[np.float64]]
    refused: str | None
    seconds: float
    merit: float | None = None


@dataclass(frozen=True, slots=True)
class RunStore:
    """A directory of runs and of the units that their scores are of."""

    directory: Path

    def write(self, run: Run, units: Mapping[str, AskedUnits], scores: Scores, versions: Mapping[str, str]) -> None:
        """Keep a run's scores; durable on return.

        :param units: of each test set, all of them; the run's rows are of these.
        :raises StudyError: if the disk refuses.
        """
        tests = {}
        for name, values in scores.of_test.items():
            rows = run.split.tests[name]
            tests[name] = {"units": self._keep(units[name]), "rows": rows.tolist(), "scores": values.tolist()}
        content = {
            "facts": dict(run.facts),
            "fold": run.split.fold,
            "n_training_units": len(run.split.train),
            "n_training_patients": run.split.n_patients,
            "refused": scores.refused,
            "seconds": round(scores.seconds, 4),
            "tests": tests,
            "versions": dict(versions),
            **({"merit": scores.merit} if run.merit_folds else {}),
        }
        self._write(self._path(RUNS, run.digest), content)

    def read(self, run: Run) -> Scores | None:
        """A run's scores; None where they are not there, or are not what was written."""
        content = self._read(self._path(RUNS, run.digest))
        if content is None:
            return None
        of_test = {name: np.array(test["scores"], np.float64) for name, test in content["tests"].items()}
        if content["refused"] is None and not all(
            name in of_test and len(of_test[name]) == len(rows) for name, rows in run.split.tests.items()
        ):
            return None
        return Scores(of_test, content["refused"], float(content["seconds"]), content.get("merit"))

    def read_all(self, runs: Iterable[Run]) -> dict[str, Scores]:
        """Scores of those of the runs that have them, by digest; each file is read once."""
        found: dict[str, Scores | None] = {}
        for run in runs:
            digest = run.digest
            if digest not in found:
                found[digest] = self.read(run)
        return {digest: scores for digest, scores in found.items() if scores is not None}

    def __contains__(self, run: Run) -> bool:
        return self.read(run) is not None

    def _keep(self, units: AskedUnits) -> str:
        digest = units.digest()
        path = self._path(UNITS, digest)
        if not path.exists():
            self._write(path, units.as_dict())
        return digest

    def _path(self, kind: str, digest: str) -> Path:
        return self.directory / kind / digest[:2] / f"{digest}.json"

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        body = canonical_json(content)
        digest = hashlib.sha256(body.encode("ascii")).hexdigest()
        with _said_without_names():
            make_directory(path.parent)
            write_whole(path, f'{{"{CHECK}":"{digest}",{body[1:]}\n'.encode("ascii"))

    def _read(self, path: Path) -> dict[str, Any] | None:
        with _said_without_names():
            try:
                content = json.loads(path.read_bytes())
                digest = content.pop(CHECK)
                whole = hashlib.sha256(canonical_json(content).encode("ascii")).hexdigest() == digest
            except FileNotFoundError:
                return None
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return None  # damaged: it is computed again
        return content if whole else None


@contextmanager
def _said_without_names() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StudyError(f"the study's directory cannot be used: {system_reason(error)}") from None


def remove_temporaries(directory: Path, prefix: str) -> None:
    """Remove what a killed run was writing."""
    for path in directory.glob(f"*/*/{prefix}*"):
        with contextlib.suppress(OSError):
            path.unlink()
