"""Small task models, written and loaded; and what a hostile author would do to one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.config import canonical_json
from lusfx.contracts import (
    Bags,
    Head,
    HeadSpec,
    MinSensitivity,
    MinSpecificity,
    Task,
    TrainingSet,
    Youden,
)
from lusfx.errors import TaskModelError
from lusfx.heads import lusfx_register_heads
from lusfx.heads.linear import LogisticHead
from lusfx.heads.standardiser import Standardiser
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskCard,
    TaskModelFacts,
    TrainingCard,
    UnitFeatures,
    head_file,
    load_task_model,
    save_task_model,
    verify_task_model,
)

SPECS: dict[str, HeadSpec] = {spec.name: spec for spec in lusfx_register_heads()}
FINGERPRINT = "91cc" * 16
N_FEATURES = 12
REPORT = "<!doctype html><title>B-lines – évidence</title>\n"


class BLines(Task):
    """B-lines?"""

    name = "b-lines"
    label_columns = ("b_lines",)


class SeenByFrames(BLines):
    """B-lines, by the frames that show them?"""

    pooling = "attention"


def make_evidence(outcomes: Iterable[str]) -> dict[str, Any]:
    """What the least evidence holds, for outcomes of these names."""
    auc = {"value": 0.81, "low": 0.7, "high": 0.9}
    return {
        "patients": ["p-0", "p-1"],
        "clips": ["c-0", "c-1"],
        "outcomes": {name: {"metrics": {"roc_auc": auc}} for name in outcomes},
        "folds": [{"scores": [0.25, 0.5]}],
    }


def make_facts(kind: str = "logistic", task: Task | None = None, **changes: Any) -> TaskModelFacts:
    """Facts of a model that answers a task by heads of one kind; ``outcome`` changes what is said of each outcome."""
    card = TaskCard.of(task or (SeenByFrames() if kind == "attention" else BLines()))
    outcome: dict[str, Any] = {
        "head": HeadCard(name=kind, settings=SPECS[kind].settings().model_dump(mode="json")) if kind in SPECS else None,
        "calibration": None,
        "operating_points": {
            "balanced": OperatingPointCard(rule=RuleCard.of(Youden()), threshold=0.5),
            "screen": OperatingPointCard(rule=RuleCard.of(MinSensitivity(0.95)), threshold=0.2),
            "rule-in": OperatingPointCard(rule=RuleCard.of(MinSpecificity(0.95)), threshold=0.9),
        },
        "decides": "balanced",
        "n_units": 80,
        "n_events": 40,
    }
    outcome |= changes.pop("outcome", {})
    parts: dict[str, Any] = {
        "task": card,
        "features": FeaturesCard(
            fingerprint=FINGERPRINT, encoder="mobilenetv3-small", dim=N_FEATURES, n_features=N_FEATURES
        ),
        "outcomes": tuple(OutcomeCard(name=name, **outcome) for name in card.outcomes),
        "novelty": None,
        "training": TrainingCard(
            n_units=80,
            n_clips=80,
            n_patients=20,
            weak_labels=False,
            seed=0,
            lusfx_version="0.1.0",
            created=datetime(2026, 11, 24, 12, tzinfo=UTC),
        ),
    }
    return TaskModelFacts(**(parts | changes))


def plain_head(column: int = 0, slope: float = 1.0, n_features: int = N_FEATURES) -> LogisticHead:
    """A head made by hand: the log odds are ``slope`` times one feature."""
    weight = np.zeros(n_features)
    weight[column] = slope
    return LogisticHead(Standardiser(np.zeros(n_features), np.ones(n_features)), weight, np.zeros(1))


def files_of(*heads: Head) -> dict[str, bytes]:
    """Files of the heads, one an outcome."""
    return {
        head_file(number, name): content for number, head in enumerate(heads) for name, content in head.files().items()
    }


def save(
    directory: Path, facts: TaskModelFacts, files: Mapping[str, bytes], evidence: Mapping[str, Any] | None = None
) -> str:
    """Write a task model with sound evidence, or with the evidence given."""
    stated = make_evidence(facts.task.outcomes) if evidence is None else evidence
    return save_task_model(directory, facts, files, stated, REPORT)


def edit_card(directory: Path, change: Mapping[str, Any]) -> None:
    """Change values of ``task_model.json`` and its digest, as a hostile author would; a key with slashes leads inwards."""
    path = directory / "task_model.json"
    card = json.loads(path.read_text())
    for key, value in change.items():
        *parents, last = key.split("/")
        part = card
        for parent in parents:
            part = part[int(parent)] if isinstance(part, list) else part[parent]
        if isinstance(part, list):
            part[int(last)] = value
        else:
            part[last] = value
    card.pop("card_sha256")
    try:
        card["card_sha256"] = hashlib.sha256(canonical_json(card).encode()).hexdigest()
    except ValueError:  # infinity: refused before any digest is looked at
        card["card_sha256"] = "0" * 64
    path.write_text(json.dumps(card))


def with_true_digest(directory: Path, name: str, content: bytes) -> None:
    """Put bad content into a file, and make the card say that it is right."""
    (directory / name).write_bytes(content)
    card = json.loads((directory / "task_model.json").read_text())
    files = card["files"] | {name: {"sha256": hashlib.sha256(content).hexdigest(), "n_bytes": len(content)}}
    edit_card(directory, {"files": files})


def refusal(directory: Path, tasks: Mapping[str, Task] | None = None) -> str:
    """The message with which a directory is refused, by loading and by verifying alike; it names no folder."""
    with pytest.raises(TaskModelError) as error:
        load_task_model(directory, SPECS, tasks)
    problems = verify_task_model(directory, SPECS, tasks)
    assert problems
    assert str(error.value).startswith(problems[0])
    assert "canary" not in str(error.value)
    return str(error.value)


def units_of(kind: str) -> UnitFeatures:
    """Eighty units of 20 patients as a kind of head takes them, told apart by all features."""
    generator = np.random.default_rng(0)
    targets = np.arange(80) % 2
    vectors = (generator.normal(size=(80, N_FEATURES)) + targets[:, None]).astype(np.float32)
    if SPECS[kind].takes == "vectors":
        return UnitFeatures(vectors, vectors)
    sizes = 1 + np.arange(80) % 3
    rows = np.repeat(vectors, sizes, axis=0)
    rows += generator.normal(scale=0.2, size=rows.shape).astype(np.float32)
    return UnitFeatures(Bags(rows, np.concatenate([[0], np.cumsum(sizes)])), vectors)


def snapshot(directory: Path) -> dict[str, bytes | None]:
    """All that lies below a directory."""
    return {str(p.relative_to(directory)): p.read_bytes() if p.is_file() else None for p in directory.rglob("*")}


@pytest.fixture(scope="session")
def heads() -> dict[str, Head]:
    """A head of each kind, trained once. Not to be changed."""
    targets, groups = np.arange(80) % 2, np.array([f"p-{row // 4}" for row in range(80)])
    few = {"max_epochs": 5}  # how well they learn is tested elsewhere
    return {
        name: spec.fit(
            TrainingSet(units_of(name).features, targets, groups),
            spec.settings(**few if "max_epochs" in spec.settings.model_fields else {}),
            seed=0,
        )
        for name, spec in SPECS.items()
    }


@pytest.fixture(params=sorted(SPECS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each built-in kind of head in turn."""
    return str(request.param)


@pytest.fixture
def head_file_name(kind: str) -> str:
    """Name in the directory of the only head's file."""
    return "1-head.lightgbm.txt" if kind == "lightgbm" else "1-head.safetensors"


@pytest.fixture
def saved(kind: str, heads: dict[str, Head], tmp_path: Path) -> Path:
    """A model of a binary task with a trained head of each kind in turn."""
    directory = tmp_path / "canary" / "b-lines"
    save(directory, make_facts(kind), files_of(heads[kind]))
    return directory


@pytest.fixture
def logistic(tmp_path: Path) -> Path:
    """A model of a binary task with a logistic head."""
    directory = tmp_path / "canary" / "b-lines"
    save(directory, make_facts(), files_of(plain_head()))
    return directory


class TaskModels:
    """What tests of task models share, since test modules cannot import each other."""

    specs = SPECS
    fingerprint = FINGERPRINT
    n_features = N_FEATURES
    report = REPORT
    make_evidence = staticmethod(make_evidence)
    make_facts = staticmethod(make_facts)
    plain_head = staticmethod(plain_head)
    files_of = staticmethod(files_of)
    save = staticmethod(save)
    edit_card = staticmethod(edit_card)
    with_true_digest = staticmethod(with_true_digest)
    refusal = staticmethod(refusal)
    units_of = staticmethod(units_of)
    snapshot = staticmethod(snapshot)

    @staticmethod
    def load(directory: Path, tasks: Mapping[str, Task] | None = None, specs: Mapping[str, HeadSpec] = SPECS) -> Any:
        return load_task_model(directory, specs, tasks)

    @staticmethod
    def verify(directory: Path, tasks: Mapping[str, Task] | None = None) -> list[str]:
        return verify_task_model(directory, SPECS, tasks)


@pytest.fixture(scope="session")
def models() -> type[TaskModels]:
    """Functions that make task models, load them, and spoil them."""
    return TaskModels
