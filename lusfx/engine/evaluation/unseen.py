"""Labelled units of patients that a task model was not trained on, with their features: what it may be judged by."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lusfx.cache import Cache, Store
from lusfx.contracts import Task
from lusfx.engine.evaluation.subgroups import check_columns
from lusfx.engine.samples.features import FeatureMaker, features_of_clips
from lusfx.engine.samples.labels import LabelledUnits, LabelRow, labels_of, read_labels, site_keys_of
from lusfx.engine.samples.near_duplicates import NearDuplicate, near_duplicates
from lusfx.engine.samples.samples import Samples, make_samples
from lusfx.engine.samples.seen_data_sets import seen_data_sets
from lusfx.engine.samples.stores import store_for
from lusfx.errors import LeakError, TableError, UsageError
from lusfx.identifiers import common_spellings
from lusfx.messages import counted, first_few, short, verb
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey, spellings
from lusfx.task_model import TaskModel, UnitFeatures, load_task_model


@dataclass(frozen=True, slots=True)
class Unseen:
    """Labelled units that a model answers and was not trained on.

    :param rows: of the label table.
    :param fingerprint: of their features.
    :param site_keys: checks of the site keys that the patients' pseudonyms are made with.
    :param warnings: what whoever reads a result must know of them.
    """

    rows: Sequence[LabelRow]
    labelled: LabelledUnits
    samples: Samples[UnitFeatures]
    fingerprint: str
    site_keys: Sequence[str]
    warnings: Sequence[str]


def unseen_units(
    model: TaskModel,
    task: Task,
    labels: Path,
    cache: Path,
    *,
    trust_table: bool,
    site_key: SiteKey | Path | str | None,
    columns: Sequence[str] = (),
    dataset: str | None = None,
) -> Unseen:
    """Read them.

    :param task: by which the labels are read.
    :param columns: that the table must have, to form subgroups by.
    :param dataset: the data set that the table is of, in place of its column ``dataset``.
    :raises LeakError: if a patient or a clip was in training.
    :raises TableError: if units have no patient, or none can be assessed.
    """
    opened = Cache.open(cache)
    store = store_for(opened, model)
    key = SiteKey.of(site_key, make=False)
    rows = read_labels(labels, opened, store, key, trust_table=trust_table)
    check_columns(columns, rows)
    labelled = _units_of_patients(task, rows)
    _check_unseen(model, labelled, _patients_spelt_otherwise(labelled, rows, key))
    keys = sorted({clip for clips in labelled.clips for clip in clips})
    samples = _answered_samples(model, labelled, store, keys)
    site_keys = site_keys_of(opened, key, rows)
    warnings = [
        *seen_data_sets(opened, store.fingerprint, rows, dataset),
        *_not_compared(model, site_keys),
        *_looks_seen(near_duplicates(store, model.evidence["clips"], keys)),
        *samples.warnings(),
        *labelled.warnings(),
    ]
    return Unseen(rows, labelled, samples, store.fingerprint, site_keys, warnings)


def load_with_task(directory: Path, task: Task | None) -> tuple[TaskModel, Task]:
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
    seen = model.training_units.patients
    groups = np.unique(labelled.groups).tolist()
    clips = {key for clips in labelled.clips for key in clips}
    for noun, shared in (
        ("patients", [group for group in groups if not seen.isdisjoint({group, *labelled.pseudonyms.get(group, ())})]),
        ("patients, spelt otherwise,", sorted(seen.intersection(spelt_otherwise))),
        ("clips", sorted(clips.intersection(model.training_units.clips))),
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
        f"{counted(len(found), 'clip')} {verb(len(found), 'looks', 'look')} like clips of this model's training "
        f"({pairs}). Copies, encoded again or trimmed, would make the figures too good"
    ]


def _familiar(model: TaskModel, samples: Samples[UnitFeatures]) -> Samples[UnitFeatures]:
    """The units that the model answers; those too far from its training set are counted as not assessable."""
    reasons = model.unfamiliar(model.distances(samples.units))
    kept = np.array([row for row, reason in enumerate(reasons) if reason is None], np.intp)
    n_missing = len(samples) - len(kept)
    if not len(kept):
        raise TableError(f"all {len(samples)} labelled units are too far from the training set of {model.name}")
    if not n_missing:
        return samples
    return replace(samples.take(kept), reasons={**samples.reasons, "unfamiliar": n_missing})
