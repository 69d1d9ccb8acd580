"""``study.json``: what a study is of, so that its stored scores can be read without running anything."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lusfx.durable import write_whole
from lusfx.messages import system_reason
from lusfx.studies.choice import Choices
from lusfx.studies.config import StudyConfig
from lusfx.studies.plan import FORMAT, WHOLE, Run, StudyPlan
from lusfx.studies.run_store import StudyError
from lusfx.version import __version__

if TYPE_CHECKING:
    from lusfx.studies.material import Material

STUDY = "study.json"
LIBRARIES = ("numpy", "scikit-learn", "scipy", "lightgbm", "onnxruntime", "torch", "timm")
PATHS = {"train", "tests", "weights", "encoder"}
"""Fields of the config that name files, and folders can name a patient: digests say what was used."""


def write_record(
    out: Path,
    config: StudyConfig,
    material: Material | None = None,
    plan: StudyPlan | None = None,
    choices: Choices | None = None,
) -> None:
    """Write the record; at first of the config alone, at the end of everything.

    :raises StudyError: if the disk refuses.
    """
    content: dict[str, Any] = {
        "format": "lusfx-study",
        "format_version": FORMAT,
        "lusfx": __version__,
        "libraries": _versions(),
        "config": _without_paths(config.model_dump(mode="json")),
    }
    if material is not None and plan is not None:
        content |= {
            "encoders": _encoders(material),
            "questions": _questions(plan),
            "runs": [_run(run) for run in plan.runs],
        }
    if choices is not None and choices.made:
        content["choices"] = [{**_run(chosen.run), "by_merit": chosen.by_merit} for chosen in choices.made]
    try:
        write_whole(out / STUDY, json.dumps(content, indent=1, allow_nan=False).encode("utf-8"))
    except OSError as error:
        raise StudyError(f"the study's directory cannot be written: {system_reason(error)}") from None


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items() if key not in PATHS}
    return [_without_paths(item) for item in value] if isinstance(value, list) else value


def _encoders(material: Material) -> dict[str, Any]:
    found: dict[str, Any] = {name: {} for name in material.encoders}
    for name, store in material.stores.items():
        found[name] |= {"fingerprint": store.fingerprint, "weights_sha256": store.spec.encoder.weights_sha256}
    for plan in material.tuning_plans:
        found[plan.encoder]["begun_with"] = plan.initial_weights.origin
    return found


def _questions(plan: StudyPlan) -> dict[str, Any]:
    return {
        question.name: {
            "task": question.task.name,
            "task_version": question.task.version,
            "outcome": question.task.outcomes[question.outcome],
            "tables": {
                name: {
                    "table_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    "units": plan.units[question.name][name].digest(),
                    "n_units": len(plan.units[question.name][name]),
                    "n_patients": plan.units[question.name][name].n_patients,
                    "n_positive": plan.units[question.name][name].n_positive,
                }
                for name, path in question.tables.items()
            },
        }
        for question in plan.questions
    }


def _run(run: Run) -> dict[str, Any]:
    """Which file has the scores of a training."""
    return {
        "encoder": run.encoder,
        "way": run.way,
        "task": run.split.question,
        "fraction": run.split.fraction,
        "draw": run.split.draw,
        "fold": None if run.split.fold == WHOLE else run.split.fold,
        "file": run.digest,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
