"""A loaded task model: everything about it was checked, and nothing in it was executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lusfx.contracts import Head, HeadSpec
from lusfx.errors import FingerprintMismatchError, LusfxError, TaskModelError
from lusfx.task_model.card import (
    EVIDENCE_FILE,
    MAX_FILE_BYTES,
    SHORT_DIGITS,
    TaskModelCard,
    first_problem,
    read_card,
)
from lusfx.task_model.directory import file_problems
from lusfx.task_model.strict_json import read_bytes, strict_json

ROW_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class TaskModel:
    """A trained head with its task, fingerprint, operating points and evidence.

    :param card: ``task_model.json``.
    :param head: what answers.
    :param evidence: ``evidence.json``.
    :param digest: SHA-256 of ``task_model.json``, which holds the digests of the other files: one for the whole model.
    """

    card: TaskModelCard
    head: Head
    evidence: Mapping[str, Any]
    digest: str

    @property
    def name(self) -> str:
        """Task and digest, ``b-lines@1a2b3c4d5e6f`` say."""
        return f"{self.card.task.name}@{self.digest[:SHORT_DIGITS]}"

    def score(self, features: NDArray[np.float32], fingerprint: str, encoder: str | None = None) -> NDArray[np.float64]:
        """Probability of class 1.

        :param features: ``(n, n_features)``, pooled as ``card.task.pooling`` says.
        :param fingerprint: of the feature spec that the features were made with.
        :param encoder: name of the encoder that made them, for the message where they do not fit.
        :returns: ``(n,)``, each from its row alone.
        :raises FingerprintMismatchError: if the head was trained on features of another fingerprint.
        :raises TaskModelError: if the features have another length or are not finite.
        """
        self.require_fingerprint(fingerprint, encoder)
        n_features = self.card.features.n_features
        if features.ndim != 2 or features.shape[1] != n_features:
            raise TaskModelError(f"{self.name} takes features of shape (n, {n_features}), not {features.shape}")
        if not np.isfinite(features).all():
            rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
            raise TaskModelError(f"features are not finite in {len(rows)} of {len(features)} rows, first in {rows[0]}")
        return self.head.predict_proba(features)[:, 1]

    def require_fingerprint(self, fingerprint: str, encoder: str | None = None) -> None:
        """Refuse features of another fingerprint, before any of them is read.

        :raises FingerprintMismatchError: naming both, and the command that makes the right ones.
        """
        needed = self.card.features
        if fingerprint == needed.fingerprint:
            return
        offered = f"{encoder or ''}@{fingerprint[:SHORT_DIGITS]}"
        raise FingerprintMismatchError(
            f"the features were made by {offered}; {self.name} needs those of {needed.encoder}"
            f"@{needed.fingerprint[:SHORT_DIGITS]}. Run: lusfx extract SOURCES... --encoder {needed.encoder}"
        )

    def answers(self, probability: float) -> dict[str, bool]:
        """Whether the answer is class 1, by the name of each operating point."""
        return {name: probability >= point.threshold for name, point in self.card.operating_points.items()}


def load_task_model(directory: Path, head_specs: Mapping[str, HeadSpec]) -> TaskModel:
    """Read a task model; see ``docs/task-models.md`` for what is checked, and in which order.

    :param head_specs: the kinds of heads that there are, by name.
    :raises TaskModelError: if the directory is incomplete, altered or invalid, or needs a head that there is not.
    """
    _require_directory(directory)
    card, digest = read_card(directory)
    for problem in file_problems(directory, card):
        raise TaskModelError(f"{problem}. Restore the task model from where it was trained, or train it again.")
    evidence = strict_json(read_bytes(directory / EVIDENCE_FILE, MAX_FILE_BYTES), EVIDENCE_FILE)
    return TaskModel(card, _load_head(directory, card, head_specs), evidence, digest)


def verify_task_model(directory: Path, head_specs: Mapping[str, HeadSpec]) -> list[str]:
    """Check what :func:`load_task_model` checks, and go on after the first problem.

    :returns: one sentence a problem; none where the model can be used.
    """
    try:
        _require_directory(directory)
        card, _ = read_card(directory)
        problems = list(file_problems(directory, card))
        if not problems:
            load_task_model(directory, head_specs)
    except TaskModelError as error:
        return [str(error)]
    return problems


def _require_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise TaskModelError("there is no task model directory at the place given")


def _load_head(directory: Path, card: TaskModelCard, head_specs: Mapping[str, HeadSpec]) -> Head:
    spec = head_specs.get(card.head.name)
    if spec is None:
        raise TaskModelError(
            f"the task model needs the head '{card.head.name}', which no plugin provides; there are "
            f"{', '.join(sorted(head_specs)) or 'none'}. Install the plugin it was trained with; see: lusfx plugins"
        )
    try:
        spec.settings.model_validate(dict(card.head.settings))
        head = spec.load(directory)
        _try(head, card.features.n_features)
    except LusfxError:
        raise
    except ValidationError as error:
        raise TaskModelError(f"the head's settings are invalid: {first_problem(error)}") from None
    except Exception as error:
        # Heads come from plugins: whatever one raises, the caller gets one kind of error to catch.
        raise TaskModelError(f"the head '{card.head.name}' cannot be loaded ({type(error).__name__})") from error
    return head


def _try(head: Head, n_features: int) -> None:
    """Score two rows: a head that belongs to other features, or returns something else than probabilities, ends here."""
    answer = head.predict_proba(np.zeros((2, n_features), dtype=np.float32))
    if answer.shape != (2, 2):
        raise TaskModelError(f"the head gives answers of shape {answer.shape} for 2 rows and 2 classes")
    if not (np.abs(answer.sum(axis=1) - 1) <= ROW_SUM_TOLERANCE).all() or (answer < 0).any():
        raise TaskModelError("the head gives answers that are not probabilities")
