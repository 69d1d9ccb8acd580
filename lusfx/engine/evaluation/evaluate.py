"""Judge a task model on labelled units of patients that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, Store
from lusfx.contracts import Task
from lusfx.engine.evaluation.report import evaluation_page
from lusfx.engine.evaluation.result import EvaluationResult, OutcomeEvaluation
from lusfx.engine.samples.features import FeatureMaker, features_of_clips
from lusfx.engine.samples.labels import LabelledUnits, LabelRow, labels_of, read_labels, site_keys_of
from lusfx.engine.samples.near_duplicates import NearDuplicate, near_duplicates
from lusfx.engine.samples.samples import Samples, make_samples
from lusfx.engine.samples.stores import store_for
from lusfx.engine.training.task_figures import task_figures
from lusfx.errors import LeakError, TableError, UsageError
from lusfx.identifiers import common_spellings
from lusfx.messages import first_few, short
from lusfx.metrics import Interval, performance, summary
from lusfx.plugins import load_registry
from lusfx.report import write_page
from lusfx.site_key import SiteKey, spellings
from lusfx.task_model import OutcomeCard, TaskModel, UnitFeatures, load_task_model


def evaluate(
    model: Path | str,
    labels: Path | str,
    cache: Path | str,
    *,
    task: Task | None = None,
    seed: int = 0,
    report: Path | str | None = None,
    trust_table: bool = False,
    site_key: SiteKey | Path | str | None = None,
) -> EvaluationResult:
    """Judge a task model on a label table's cached units. A gate is not asked: every labelled unit counts.

    :param model: task model directory.
    :param task: the task that the model answers, where no plugin provides it; it says how labels are read.
    :param report: where to write an HTML report, if anywhere.
    :param trust_table: believe the label table's patients where the cache's ledgers say otherwise, or were made with another
        site key.
    :raises LeakError: if a patient or a clip was in training: the figures would be too good. Of clips that only look like
        training clips the result warns.
    :raises TableError: if units have no patient, so that no interval could be given, or none can be assessed.
    """
    loaded, task = _load_model(Path(model), task)
    opened = Cache.open(Path(cache))
    store = store_for(opened, loaded)
    key = SiteKey.of(site_key, make=False)
    rows = read_labels(Path(labels), opened, store, key, trust_table=trust_table)
    labelled = _units_of_patients(task, rows)
    _check_unseen(loaded, labelled, _patients_spelt_otherwise(labelled, rows, key))
    keys = sorted({key for clips in labelled.clips for key in clips})
    samples = _answered_samples(loaded, labelled, store, keys)
    probabilities = loaded.score(samples.units, store.fingerprint)
    outcomes = [
        _outcome(stated, samples, number, probabilities[:, number], seed)
        for number, stated in enumerate(loaded.card.outcomes)
    ]
    result = EvaluationResult(
        model=loaded,
        samples=samples,
        outcomes=outcomes,
        figures=_figures(loaded, samples, probabilities, seed),
        n_not_known=labelled.n_not_known,
        n_not_cached=len(labelled.rows_not_cached),
        warnings=[
            *_warnings(loaded, task, outcomes),
            *_not_compared(loaded, site_keys_of(opened, key, rows)),
            *_looks_seen(near_duplicates(store, loaded.evidence["clips"], keys)),
            *samples.warnings(),
            *labelled.warnings(),
        ],
    )
    if report is not None:
        write_page(evaluation_page(result), Path(report))
    return result


def _load_model(directory: Path, task: Task | None) -> tuple[TaskModel, Task]:
    """A task model and the task by which labels are read.

    :param task: None for the one that a plugin provides.
    :raises UsageError: if the model answers another task.
    """
    registry = load_registry()
    tasks = registry.tasks.as_mapping() if task is None else {task.name: task}
    model = load_task_model(directory, registry.heads.as_mapping(), tasks)
    name = model.card.task.name
    if task is None:
        task = registry.task(name)
    elif task.name != name:
        raise UsageError(f"{model.name} answers '{name}', and the task given is '{task.name}'")
    return model, task


def _units_of_patients(task: Task, rows: list[LabelRow]) -> LabelledUnits:
    """The labelled units.

    :raises TableError: if one has no patient.
    """
    labelled = labels_of(task, rows)
    n_without = int((labelled.groups == "").sum())
    if n_without:
        raise TableError(f"{n_without} {labelled.unit}s have no patient. Give the label table a column patient_id")
    return labelled


def _answered_samples(
    model: TaskModel, labelled: LabelledUnits, store: Store, keys: Sequence[str]
) -> Samples[UnitFeatures]:
    """The units that the model answers, with their features.

    :param keys: of all their clips.
    """
    maker = FeatureMaker(model.card.task, model.task)
    name = model.card.task.name
    clips = features_of_clips(store, keys, {name: maker})[name]
    return _familiar(model, make_samples(labelled, clips, maker))


def _figures(
    model: TaskModel, samples: Samples[UnitFeatures], probabilities: NDArray[np.float64], seed: int
) -> dict[str, Interval]:
    """Figures of the task as a whole, at the thresholds that decide."""
    thresholds = np.array([stated.operating_points[stated.decides].threshold for stated in model.card.outcomes])
    return task_figures(
        model.card.task,
        samples.targets,
        samples.classes,
        probabilities[None],
        (probabilities >= thresholds)[None],
        samples.groups,
        seed=seed,
    )


def _outcome(
    stated: OutcomeCard, samples: Samples[UnitFeatures], number: int, probabilities: NDArray[np.float64], seed: int
) -> OutcomeEvaluation:
    rows = samples.known(number)
    targets, groups, known = samples.targets[rows, number], samples.groups[rows], probabilities[rows]
    return OutcomeEvaluation(
        name=stated.name,
        targets=targets,
        probabilities=known,
        metrics=summary(targets, known, groups, seed=seed),
        performances={
            name: performance(targets, known >= point.threshold, groups, seed=seed)
            for name, point in stated.operating_points.items()
        },
    )


def _patients_spelt_otherwise(labelled: LabelledUnits, rows: Sequence[LabelRow], site_key: SiteKey) -> set[str]:
    """Keys that the labelled patients would have if the table spelt them otherwise, as the table of the training may: models of
    before the canonical form know each patient in one spelling.
    """
    labelled_patients = set(labelled.groups.tolist())
    written = {entry.row["patient_id"] for entry in rows if entry.patient_key in labelled_patients} - {""}
    ways = {way for identifier in written for way in common_spellings(identifier)}
    return {spellings(site_key.patient(way))[0] for way in ways}


def _check_unseen(model: TaskModel, labelled: LabelledUnits, spelt_otherwise: Set[str]) -> None:
    """Refuse to judge a model on what it was trained on.

    :raises LeakError: naming the first few.
    """
    seen = {*model.evidence["patients"], *model.evidence.get("pseudonyms", ())}
    groups = np.unique(labelled.groups).tolist()
    clips = {key for clips in labelled.clips for key in clips}
    for noun, shared in (
        ("patients", [group for group in groups if not seen.isdisjoint({group, *labelled.pseudonyms.get(group, ())})]),
        ("patients, spelt otherwise,", sorted(seen.intersection(spelt_otherwise))),
        ("clips", sorted(clips.intersection(model.evidence["clips"]))),
    ):
        if shared:
            named = first_few([short(key) for key in shared])
            raise LeakError(
                f"{len(shared)} {noun} of the label table were in this model's training ({named}): its figures on them would "
                "be too good. Its cross-validated figures are in its report"
            )


def _not_compared(model: TaskModel, site_keys: Sequence[str]) -> list[str]:
    """What to say where pseudonyms are of other site keys: at another hospital that is as it should be."""
    known = model.evidence.get("site_keys", [])
    if not known or set(known) == set(site_keys):
        return []
    return [
        "the model's patients and these have pseudonyms of different site keys, so nobody knows whether a patient was in its "
        "training. If the model was trained at this site, set LUSFX_SITE_KEY to the key file that was used then"
    ]


def _looks_seen(found: Sequence[NearDuplicate]) -> list[str]:
    """What to say of clips that look like training clips: nobody knows it for sure, so it is no refusal."""
    if not found:
        return []
    pairs = first_few([f"{short(pair.key)} like {short(pair.seen)}" for pair in found])
    return [
        f"{len(found)} clips look like clips of this model's training ({pairs}). "
        "If they are copies, encoded again or trimmed, the figures are too good"
    ]


def _familiar(model: TaskModel, samples: Samples[UnitFeatures]) -> Samples[UnitFeatures]:
    """The units that the model answers; those too far from its training set are counted as not assessable."""
    reasons = model.unfamiliar(samples.units)
    kept = np.array([row for row, reason in enumerate(reasons) if reason is None], np.intp)
    n_missing = len(samples) - len(kept)
    if not len(kept):
        raise TableError(f"all {len(samples)} labelled units are too far from the training set of {model.name}")
    if not n_missing:
        return samples
    return replace(samples.take(kept), reasons={**samples.reasons, "unfamiliar": n_missing})


def _warnings(model: TaskModel, task: Task, outcomes: Sequence[OutcomeEvaluation]) -> list[str]:
    warnings = []
    if task.version != model.card.task.version:
        warnings.append(
            f"the model was trained for version {model.card.task.version} of the task, labels are read by {task.version}"
        )
    for outcome in outcomes:
        if not len(outcome.targets):
            warnings.append(f"'{outcome.name}': no labelled unit answers it: there are no figures")
        elif len(np.unique(outcome.targets)) < 2:
            warnings.append(f"'{outcome.name}': the labelled units are all of one class: there is no AUC")
    return warnings
