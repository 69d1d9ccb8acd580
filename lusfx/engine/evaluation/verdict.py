"""What an evaluation comes to, in sentences, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence

from lusfx.engine.evaluation.result import EvaluationResult, OutcomeEvaluation
from lusfx.engine.training.report import counted, stated


def verdict(result: EvaluationResult) -> list[str]:
    """A sentence on the deciding operating point and one on the probabilities, an outcome."""
    sentences = []
    for outcome, card in zip(result.outcomes, result.model.card.outcomes, strict=True):
        name = f"'{outcome.name}'"
        if len(outcome.targets) and card.decides is not None:
            sentences.append(f"{name} at '{card.decides}': {rates(result, outcome, card.decides)}.")
        sentences.append(f"{name}: {outcome.calibration}.")
    return sentences


def rates(result: EvaluationResult, outcome: OutcomeEvaluation, point: str) -> str:
    """What an operating point achieves, with the counts behind it, as one line."""
    performance, predictive = outcome.performances[point], outcome.predictive[point]
    n_events = int(outcome.targets.sum())
    found = counted(performance.sensitivity, n_events)
    spared = counted(performance.specificity, len(outcome.targets) - n_events)
    return (
        f"sensitivity {stated(performance.sensitivity)}, {found}; specificity {stated(performance.specificity)}, {spared}; "
        f"a yes is right in {stated(predictive.positive)}, a no in {stated(predictive.negative)} where "
        f"{prevalence_words(result, outcome)}"
    )


def prevalence_words(result: EvaluationResult, outcome: OutcomeEvaluation) -> str:
    """The prevalence that predictive values are for, and who says so."""
    if result.prevalence is not None:
        return f"{result.prevalence:.1%} are yes, as was stated"
    share = float(outcome.targets.mean()) if len(outcome.targets) else float("nan")
    return f"{share:.1%} are yes, as in this table"


def next_steps(result: EvaluationResult) -> Sequence[str]:
    """Commands that fit what was found, with words in capitals for what the user knows."""
    steps = []
    if result.model.card.orders_only or any(outcome.believed is False for outcome in result.outcomes):
        steps.append("lusfx recalibrate MODEL --labels LABELS --cache CACHE --out NEW-MODEL")
    if not result.subgroups:
        steps.append("lusfx evaluate --model MODEL --labels LABELS --cache CACHE --by COLUMN")
    return [*steps, "lusfx score --model MODEL --cache CACHE --out scores.csv --report scores.html"]
