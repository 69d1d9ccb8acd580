"""How good probabilities and answers are, and how sure one can be of that."""

from __future__ import annotations

from lusfx.metrics.curve import CalibrationBin, calibration_bins, mean_roc, roc_points
from lusfx.metrics.delong import DeLong, auc_covariance, delong
from lusfx.metrics.interval import (
    Interval,
    Performance,
    patient_bootstrap,
    patient_resamples,
    percentile_interval,
    performance,
    summary,
)
from lusfx.metrics.predictive import PredictiveValues, predictive_values
from lusfx.metrics.reliability import calibration_intercept, calibration_slope, may_be_believed, reliability
from lusfx.metrics.statistic import (
    Answers,
    Statistic,
    Targets,
    Weighted,
    average_precision,
    balanced_accuracy,
    brier_score,
    events,
    mean_absolute_error,
    pairs,
    quadratic_weighted_kappa,
    roc_auc,
    sensitivity,
    specificity,
    within_folds,
)
from lusfx.metrics.threshold import choose_threshold, choose_thresholds
from lusfx.metrics.weightings import aucs_of_weightings

__all__ = [
    "Answers",
    "CalibrationBin",
    "DeLong",
    "Interval",
    "Performance",
    "PredictiveValues",
    "Statistic",
    "Targets",
    "Weighted",
    "auc_covariance",
    "aucs_of_weightings",
    "average_precision",
    "balanced_accuracy",
    "brier_score",
    "calibration_bins",
    "calibration_intercept",
    "calibration_slope",
    "choose_threshold",
    "choose_thresholds",
    "delong",
    "events",
    "may_be_believed",
    "mean_absolute_error",
    "mean_roc",
    "pairs",
    "patient_bootstrap",
    "patient_resamples",
    "percentile_interval",
    "performance",
    "predictive_values",
    "quadratic_weighted_kappa",
    "reliability",
    "roc_auc",
    "roc_points",
    "sensitivity",
    "specificity",
    "summary",
    "within_folds",
]
