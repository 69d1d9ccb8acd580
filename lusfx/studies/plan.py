"""The plan: every training of a study, with the units that it learns from and those that it is judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.config import canonical_json
from lusfx.engine.training.cross_validation import FOLD_SEEDS_APART
from lusfx.engine.training.label_fraction import patients_in_order, rows_of_fraction
from lusfx.splits import check_split, patient_folds
from lusfx.studies.config import LOCAL, TRAIN, StudyConfig, WayEntry
from lusfx.studies.questions import Question
from lusfx.studies.units import AskedUnits
from lusfx.version import __version__

FORMAT = 1
WHOLE = -1
"""Stands for the fold of a training on the whole table."""


@dataclass(frozen=True, slots=True)
class Split:
    """What one training learns from, and what it is judged on.

    :param question: its name.
    :param fraction: share of the training side's patients whose labels are used.
    :param draw: number of the draw of patients; of the whole fraction, number of the repeat.
    :param fold: number of the fold that is judged; WHOLE where other tables are.
    :param train: rows of the question's training units.
    :param tests: rows of the units of each test set; of the local one by cross-validation, of the training units.
    :param digests: of what ``train`` and ``tests`` are, by name.
    """

    question: str
    fraction: float
    draw: int
    fold: int
    train: NDArray[np.intp]
    tests: Mapping[str, NDArray[np.intp]]
    digests: Mapping[str, str]
    n_patients: int


@dataclass(frozen=True, slots=True)
class Run:
    """One training: a split with an encoder and a way.

    :param facts: everything that decides its scores.
    :param merit_folds: inner folds that its merit is found by; 0 where no choice is made of it.
    """

    encoder: str
    way: str
    split: Split
    seed: int
    facts: Mapping[str, Any] = field(repr=False)
    merit_folds: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the facts, 64 hexadecimal digits: the run's name on disk."""
        return hashlib.sha256(canonical_json(self.facts).encode("ascii")).hexdigest()


def n_draws(config: StudyConfig, way: WayEntry | None, fraction: float, fold: int) -> int:
    """How often a fraction is drawn: the whole is trained on once, and once a repeat of a cross-validation.

    :param way: None for the most of any way.
    """
    if fraction < 1:
        return min(config.draws, (way and way.draws) or config.draws)
    return 1 if fold == WHOLE else min(config.repeats, (way and way.repeats) or config.repeats)


def merit_folds(config: StudyConfig, encoder: str, way: WayEntry, fraction: float, draw: int, fold: int) -> int:
    """Inner folds that a training's merit is found by; 0 where no choice is made of it.

    A choice is made of the draws that all of its ways have.
    """
    choice = config.choice
    if choice is None or (encoder, way.name) not in config.candidates or fraction not in config.choice_fractions:
        return 0
    shared = min(n_draws(config, candidate, fraction, fold) for candidate in config.candidate_ways)
    return choice.folds if draw < shared else 0


def splits_of(question: Question, units: Mapping[str, AskedUnits], config: StudyConfig) -> list[Split]:
    """Every split of a question; the same for all encoders and ways.

    :param units: of each of its tables.
    :raises LeakError: if a patient stood on both sides.
    """
    training = units[TRAIN]
    splits: list[Split] = []
    digest_of = {name: table.digest() for name, table in units.items()}
    most = max(n_draws(config, None, fraction, 0) for fraction in config.fractions)
    whole = np.arange(len(training))
    for draw in range(most):
        sides: list[tuple[int, NDArray[np.intp], Mapping[str, NDArray[np.intp]]]] = []
        if question.cross_validated:
            seed = config.seed + FOLD_SEEDS_APART * (draw % config.repeats)
            folds = patient_folds(training.targets, training.groups, config.folds, seed)
            for number, fold in enumerate(folds):
                check_split(fold, training.groups, training.keys)
                sides.append((number, fold.train, {LOCAL: fold.test}))
        if question.tests:
            sides.append((WHOLE, whole, {name: np.arange(len(units[name])) for name in question.tests}))
        for fold_number, train, tests in sides:
            digests = {
                name: digest_of[name] if fold_number == WHOLE else training.take(rows).digest()
                for name, rows in tests.items()
            }
            splits += _fractions(question, training, config, draw, fold_number, train, tests, digests)
    return splits


def _fractions(
    question: Question,
    training: AskedUnits,
    config: StudyConfig,
    draw: int,
    fold: int,
    train: NDArray[np.intp],
    tests: Mapping[str, NDArray[np.intp]],
    digests: Mapping[str, str],
) -> Iterator[Split]:
    """A training side's splits, one a fraction."""
    side = training.take(train)
    generator = np.random.default_rng([config.seed, draw, fold - WHOLE])
    order, fewest = patients_in_order(side.targets, side.groups, config.min_patients, generator)
    for fraction in config.fractions:
        if draw < n_draws(config, None, fraction, fold):
            chosen = train[rows_of_fraction(side.groups, order, fewest, fraction)]
            taken = training.take(chosen)
            yield Split(
                question.name, fraction, draw, fold, chosen, tests, {**digests, TRAIN: taken.digest()}, taken.n_patients
            )


def runs_of(
    splits: Iterable[Split],
    question: Question,
    config: StudyConfig,
    way: WayEntry,
    encoder: str,
    facts: Mapping[str, Any],
) -> list[Run]:
    """The trainings of one question with one encoder in one way.

    :param facts: what decides the scores beside the split: features or initial weights, and the way's settings.
    """
    runs = []
    for split in splits:
        asked = split.fraction in config.fractions_of(way)
        if asked and split.draw < n_draws(config, way, split.fraction, split.fold):
            seed = config.seed + split.draw
            n_inner = merit_folds(config, encoder, way, split.fraction, split.draw, split.fold)
            of_run = {
                "format": FORMAT,
                "lusfx": __version__,
                "task": [question.task.name, question.task.version, question.task.outcomes[question.outcome]],
                "seed": seed,
                "units": dict(split.digests),
                **facts,
                # Without a merit the facts are those of a study that chooses nothing: it has the same runs.
                **({"merit": {"inner_folds": n_inner}} if n_inner else {}),
            }
            runs.append(Run(encoder, way.name, split, seed, of_run, n_inner))
    return runs


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """All of a study, settled.

    :param units: of each question, of each of its tables.
    :param runs: every training, in the order in which they are done.
    """

    config: StudyConfig
    questions: Sequence[Question]
    units: Mapping[str, Mapping[str, AskedUnits]]
    runs: Sequence[Run]

    def question(self, name: str) -> Question:
        """The question of this name."""
        return next(question for question in self.questions if question.name == name)

    def test_units(self, question: str, test_set: str) -> AskedUnits:
        """The units of a test set; where the training table is cross-validated, those of that."""
        units = self.units[question]
        return units[test_set] if test_set in units else units[TRAIN]
