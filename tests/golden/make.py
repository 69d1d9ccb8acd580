"""Makes the golden files: an encoder, a cache and a task model with each kind of head, in the formats of the lusfx that runs.

They are made once for each version of a format, and then kept: later versions must read them and give the answers that stand
beside them. Run it into a new directory when a format's version is raised: ``python -m tests.golden.make tests/golden/NAME``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, LedgerEntry, Membership, Store
from lusfx.calibration import Calibration, IsotonicCalibration, PlattCalibration
from lusfx.config import EncoderIdentity, FeatureSpec, PreprocessSpec
from lusfx.contracts import Bags, Head, HeadSpec, MinSensitivity, Task, TrainingSet, Youden
from lusfx.encoders.card import CARD, GRAPH, MODEL_CARD, WEIGHTS, EncoderCard, read_card, weights_sha256
from lusfx.heads import lusfx_register_heads
from lusfx.site_key import SECRET_BYTES, SiteKey
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
    calibration_card,
    encoder_sha256,
    head_file,
    save_task_model,
)
from lusfx.types import ClipEmbeddings, FrameStatus

SIZE, DIM, CELLS = 32, 12, 16
N_CLIPS, N_FRAMES = 8, 5
N_TRAINING = 80
SECRET = bytes(range(SECRET_BYTES))
CALIBRATIONS: Mapping[str, Calibration | None] = {
    "logistic": PlattCalibration(0.75, -0.25),
    "mlp": IsotonicCalibration((0.1, 0.4, 0.8), (0.05, 0.5, 0.9)),
    "lightgbm": None,
    "attention": None,
}


class BLines(Task):
    """B-lines?"""

    name = "b-lines"
    label_columns = ("b_lines",)
    pooling = "mean"


class SeenByFrames(BLines):
    """B-lines, by the frames that show them?"""

    pooling = "attention"


@dataclass(frozen=True)
class Golden:
    """The golden files of one set of format versions.

    :param directory: holds ``encoder/``, ``cache/``, ``task-models/NAME/`` and ``answers.json``.
    """

    directory: Path

    @property
    def encoder(self) -> Path:
        return self.directory / "encoder"

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    def task_model(self, name: str) -> Path:
        return self.directory / "task-models" / name

    @property
    def answers(self) -> dict[str, Any]:
        answers: dict[str, Any] = json.loads((self.directory / "answers.json").read_text())
        return answers

    def store(self) -> Store:
        """The only store of the cache."""
        (store,) = Cache.open(self.cache).stores()
        return store


FIRST = Golden(Path(__file__).parent / "first")
"""Cache format 1, task-model format 2, encoder format 1."""
ALL = (FIRST,)
SAME_SCORES, SAME_EMBEDDINGS = 1e-12, 1e-5
"""Answers that are the old ones differ by no more."""


def head_specs() -> dict[str, HeadSpec]:
    """The built-in heads by name."""
    return {spec.name: spec for spec in lusfx_register_heads()}


def units_of(store: Store, name: str) -> UnitFeatures:
    """All clips of the golden cache, in order of their keys, as the head of that name takes them."""
    clips = [store.read(key) for key in sorted(store.keys())]
    rows = [clip.embeddings[clip.status == FrameStatus.OK].astype(np.float32) for clip in clips]
    means = np.array([part.mean(axis=0) for part in rows])
    return UnitFeatures(Bags.of(rows), means) if name == "attention" else UnitFeatures(means, means)


def images() -> NDArray[np.uint8]:
    """Three frames for the encoder, ``(3, 32, 32)``."""
    return np.random.default_rng(11).integers(0, 256, (3, SIZE, SIZE)).astype(np.uint8)


def write_encoder(directory: Path) -> EncoderCard:
    """Means of a grid of 4 by 4 cells, times one matrix whose values lie in ``weights.safetensors``."""
    from onnx import TensorProto, helper
    from safetensors.numpy import save

    weight = np.random.default_rng(7).normal(size=(CELLS, DIM)).astype(np.float32)
    reference = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=weight.shape)
    reference.data_location = TensorProto.EXTERNAL
    reference.external_data.add(key="location", value=WEIGHTS)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [1 / 255])
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["values", "scale"], ["grey"]),
        helper.make_node("Unsqueeze", ["grey", "axes"], ["one_channel"]),
        helper.make_node("AveragePool", ["one_channel"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["cells"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weight"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "golden",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", SIZE, SIZE])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", DIM])],
        [reference, axes, scale],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    files = {
        GRAPH: model.SerializeToString(deterministic=True),
        MODEL_CARD: b"# An encoder of means\n",
        WEIGHTS: save({"weight": weight}),
    }
    card = EncoderCard(
        name="golden",
        identity=EncoderIdentity(
            architecture="golden",
            weights_sha256=weights_sha256({"weight": weight}),
            layer="cells",
            pooling="none",
            dim=DIM,
            channels=1,
            mean=(0.0,),
            std=(1.0,),
        ),
        preprocess=PreprocessSpec(size=SIZE),
        licence="Apache-2.0",
        training_data="none",
        source="tests/golden/make.py",
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    directory.mkdir(parents=True)
    (directory / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return card


def write_cache(directory: Path, spec: FeatureSpec) -> Store:
    """Eight made-up clips; of every third a frame could not be read, and one has a value that is too large for float16."""
    site_key = SiteKey(SECRET)
    cache = Cache.open(directory, create=True)
    store = cache.store(spec)
    with cache.start_run(store.fingerprint, "golden") as ledger:
        for clip in range(N_CLIPS):
            generator = np.random.default_rng((3, clip))
            embeddings = generator.normal(size=(N_FRAMES, DIM)).astype(np.float32)
            status = np.full(N_FRAMES, FrameStatus.OK, np.uint8)
            if clip % 3 == 0:
                status[2], embeddings[2] = FrameStatus.UNREADABLE, np.nan
            if clip == 1:
                embeddings[0, 0] = 1e5
            key = hashlib.sha256(f"golden {clip}".encode()).hexdigest()
            times_s = np.arange(N_FRAMES) / 25
            facts = {"beam_confidence": 1.0, "reader": "golden"}
            store.write(key, ClipEmbeddings(embeddings, times_s, np.arange(N_FRAMES), status, facts))
            member = Membership(site_key.patient(f"golden-{clip // 2}"), site_key.exam(f"golden-{clip // 2}"), "L1")
            ledger.record(LedgerEntry(site_key.source(str(clip)), "encoded", key, member, n_frames=N_FRAMES))
        ledger.finish(not_reached=0)
    return store


def trained(spec: HeadSpec) -> Head:
    """A small head of a kind, trained on units that all features tell apart."""
    generator = np.random.default_rng(0)
    targets = np.arange(N_TRAINING) % 2
    vectors = (generator.normal(size=(N_TRAINING, DIM)) + targets[:, None]).astype(np.float32)
    groups = np.array([f"p-{row // 4}" for row in range(N_TRAINING)])
    features = vectors if spec.takes == "vectors" else Bags(vectors, np.arange(N_TRAINING + 1))
    small: dict[str, object] = {"lightgbm": {"rounds": 12}}.get(spec.name, {})
    return spec.fit(TrainingSet(features, targets, groups), spec.settings.model_validate(small), seed=0)


def write_task_model(directory: Path, name: str, spec: FeatureSpec, encoder: Path) -> None:
    """A model of a binary task with a head of that name; the one of logistic regression brings its encoder along."""
    head_spec = head_specs()[name]
    card = TaskCard.of(SeenByFrames() if name == "attention" else BLines())
    own_encoder = encoder if name == "logistic" else None
    outcome = OutcomeCard(
        name=card.outcomes[0],
        head=HeadCard(name=name, settings=head_spec.settings().model_dump(mode="json")),
        calibration=calibration_card(CALIBRATIONS[name]),
        operating_points={
            "balanced": OperatingPointCard(rule=RuleCard.of(Youden()), threshold=0.5),
            "screen": OperatingPointCard(rule=RuleCard.of(MinSensitivity(0.95)), threshold=0.2),
        },
        decides="balanced",
        n_units=N_TRAINING,
        n_events=N_TRAINING // 2,
    )
    facts = TaskModelFacts(
        task=card,
        features=FeaturesCard(fingerprint=spec.fingerprint, encoder="golden", dim=DIM, n_features=DIM),
        outcomes=(outcome,),
        novelty=None,
        training=TrainingCard(
            n_units=N_TRAINING,
            n_clips=N_TRAINING,
            n_patients=N_TRAINING // 4,
            weak_labels=False,
            seed=0,
            lusfx_version="0.1.0",
            created=datetime(2026, 11, 25, tzinfo=UTC),
        ),
        own_encoder=None if own_encoder is None else encoder_sha256(own_encoder),
    )
    auc = {"value": 0.81, "low": 0.7, "high": 0.9}
    evidence = {"patients": ["p-0"], "clips": ["c-0"], "outcomes": {card.outcomes[0]: {"metrics": {"roc_auc": auc}}}}
    files = {head_file(0, file): content for file, content in trained(head_spec).files().items()}
    directory.parent.mkdir(parents=True, exist_ok=True)
    save_task_model(directory, facts, files, evidence, "<!doctype html><title>B-lines</title>\n", own_encoder)


def make(golden: Golden) -> None:
    """Write everything, and the answers as this lusfx gives them."""
    from lusfx.contracts import EncoderRequest
    from lusfx.encoders import open_directory
    from lusfx.task_model import load_task_model

    write_encoder(golden.encoder)
    card = read_card(golden.encoder)
    spec = FeatureSpec(encoder=card.identity, preprocess=card.preprocess)
    store = write_cache(golden.cache, spec)
    probabilities = {}
    for name in sorted(CALIBRATIONS):
        write_task_model(golden.task_model(name), name, spec, golden.encoder)
        model = load_task_model(golden.task_model(name), head_specs())
        probabilities[name] = model.score(units_of(store, name), spec.fingerprint)[:, 0].tolist()
    answers = {
        "fingerprint": spec.fingerprint,
        "clips": {key: clip_answers(store.read(key)) for key in sorted(store.keys())},
        "probabilities": probabilities,
        "embeddings": open_directory(golden.encoder, EncoderRequest(str(golden.encoder))).encode(images()).tolist(),
    }
    (golden.directory / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")


def clip_answers(clip: ClipEmbeddings) -> dict[str, Any]:
    """A clip's record in short: its types, and a digest of all its values."""
    arrays = (clip.embeddings, clip.times_s, clip.source_frame, clip.status)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()
    return {
        "sha256": digest,
        "dtype": str(clip.embeddings.dtype),
        "status": clip.status.tolist(),
        "provenance": dict(clip.provenance),
    }


if __name__ == "__main__":
    make(Golden(Path(sys.argv[1])))
