"""Measure how often the 95% intervals of a repeated cross-validation hold the truth, on made-up embeddings.

    python tools/measure_interval_coverage.py --patients 30 --signal 0.8 --tables 120

Each table is drawn anew, so the mean figure over all tables is what the procedure truly achieves on such tables (0.5 without a
signal). Prints the coverage of the intervals as lusfx makes them, and of those of the mean over repeats.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from lusfx.contracts import Youden
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import CrossValidation, cross_validate
from lusfx.engine.training.learner import Candidate, Learner
from lusfx.heads.linear import LogisticHeadSpec, LogisticSettings
from lusfx.metrics import Answers, Statistic, Targets, Weighted, pairs, patient_bootstrap, roc_auc, within_folds
from lusfx.task_model import UnitFeatures

DIM, CLIPS_A_PATIENT, N_FOLDS, N_REPEATS, N_RESAMPLES = 24, 3, 5, 5, 1000


def table(seed: int, n_patients: int, signal: float) -> Samples:
    """Clips of patients, half of whom mostly have a finding, which moves one of the features by ``signal``."""
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), CLIPS_A_PATIENT)
    targets = (generator.permutation(n_patients) < n_patients // 2).astype(np.int64)[patient]
    targets = np.where(generator.random(len(patient)) < 0.2, 1 - targets, targets)
    features = generator.normal(size=(len(patient), DIM)) + 0.7 * generator.normal(size=(n_patients, DIM))[patient]
    features[:, 0] += signal * targets
    rows = features.astype(np.float32)
    keys = np.array([f"clip-{number}" for number in range(len(patient))])
    groups = np.array([f"patient-{number}" for number in patient])
    weights = np.ones(len(patient))
    return Samples(keys, groups, targets[:, None], targets, weights, UnitFeatures(rows, rows), keys.tolist(), {})


def of_the_mean(validation: CrossValidation) -> Statistic:
    """The mean AUC over repeats as one figure, whose resamples are resamples of the mean."""
    within = [within_folds(roc_auc, folds, pairs) for folds in validation.folds]

    def prepare(targets: Targets, repeats: Answers) -> Weighted:
        figures = [each.prepare(targets, repeat) for each, repeat in zip(within, repeats, strict=True)]
        return lambda weights: float(np.mean([figure(weights) for figure in figures]))

    return Statistic(prepare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=30)
    parser.add_argument("--signal", type=float, default=0.0)
    parser.add_argument("--tables", type=int, default=120)
    wanted = parser.parse_args()
    candidates = [Candidate(LogisticHeadSpec(), LogisticSettings())]
    learner = Learner(candidates, None, 16, "platt", {"balanced": Youden()}, 0, lambda text: None)
    drawn, averaged = [], []
    for seed in range(wanted.tables):
        samples = table(seed, wanted.patients, wanted.signal)
        validation = cross_validate(learner, samples, 0, N_FOLDS, N_REPEATS, lambda text: None)
        within = [within_folds(roc_auc, folds, pairs) for folds in validation.folds]
        for found, statistic in ((drawn, within), (averaged, of_the_mean(validation))):
            found.append(
                patient_bootstrap(
                    statistic,
                    samples.targets[:, 0],
                    validation.probabilities,
                    samples.groups,
                    seed=seed,
                    n_resamples=N_RESAMPLES,
                )
            )
    truth = np.mean([interval.value for interval in drawn]) if wanted.signal else 0.5
    for name, intervals in (("one repeat drawn a resample", drawn), ("mean over repeats", averaged)):
        held = np.mean([interval.low <= truth <= interval.high for interval in intervals])
        width = np.mean([interval.high - interval.low for interval in intervals])
        print(f"{name}: {held:.0%} of {len(intervals)} intervals hold {truth:.3f}; mean width {width:.3f}")


if __name__ == "__main__":
    sys.exit(main())
