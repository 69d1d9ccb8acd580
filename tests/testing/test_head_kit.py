"""For every check of a head there is a head that fails it, and nothing else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.contracts import Bags, Head, HeadSettings, HeadSpec, TrainingSet
from lusfx.errors import TaskModelError
from lusfx.tensors import tensors_from_bytes, tensors_to_bytes
from lusfx.testing import HeadConformance

Array = NDArray[Any]
FRESH = "scores_in_a_fresh_process"
LAYOUT, DIMENSIONS = "difference/1", {"weight": 1, "middle": 1}
NOTES = b"made by a test\n"
PICKLED = pickle.dumps({"harmless": True})


class DifferenceHead(Head):
    """Log odds along the difference of the classes' means."""

    def __init__(self, weight: Array, middle: Array) -> None:
        self.weight, self.middle = weight, middle

    def predict_proba(self, features: Any) -> Array:
        if isinstance(features, Bags) or features.shape[1] != len(self.weight):
            raise TaskModelError("features of another length")
        return self.answer(self.logits(features))

    def logits(self, features: Array) -> Array:
        # Row by row, so that not a bit depends on how many there are.
        logits: Array = ((features - self.middle) * self.weight).sum(axis=1)
        return logits

    def answer(self, logits: Array) -> Array:
        yes = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        return np.stack([1 - yes, yes], axis=1)

    def files(self) -> Mapping[str, bytes]:
        return {
            "head.safetensors": tensors_to_bytes(LAYOUT, {"weight": self.weight, "middle": self.middle}),
            "notes.txt": NOTES,
        }


class Difference(HeadSpec):
    """A sound head that no plugin provides."""

    name, summary, settings = "difference", "difference of means", HeadSettings
    search = ({},)
    head: type[DifferenceHead] = DifferenceHead

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        assert not isinstance(training.features, Bags)
        rows = training.features.astype(np.float64)
        weights = np.ones(len(rows)) if training.weights is None else training.weights / training.weights.max()
        no, yes = (
            np.average(rows[training.targets == n], axis=0, weights=weights[training.targets == n]) for n in (0, 1)
        )
        return self.head((yes - no) / rows.var(axis=0), (no + yes) / 2)

    def load(self, files: Mapping[str, bytes]) -> Head:
        if "head.safetensors" not in files:
            raise TaskModelError("head.safetensors is missing")
        self.check_notes(files)
        tensors = tensors_from_bytes(files["head.safetensors"], LAYOUT, DIMENSIONS, "head.safetensors")
        if tensors["weight"].shape != tensors["middle"].shape:
            raise TaskModelError("arrays do not fit")
        return self.head(tensors["weight"], tensors["middle"])

    def check_notes(self, files: Mapping[str, bytes]) -> None:
        if files.get("notes.txt") != NOTES:
            raise TaskModelError("notes.txt is missing or altered")


class NoSummary(Difference):
    summary = " "


class UnknownSetting(Difference):
    search = ({"depth": 3},)


class Ignorant(Difference):
    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        head: Any = super().fit(training, settings, seed)
        return self.head(head.weight * 0, head.middle)


class StampedHead(DifferenceHead):
    """Has a number of its own, which changes no score."""

    stamp = b""

    def files(self) -> Mapping[str, bytes]:
        return {**super().files(), "stamp": self.stamp}


class Stamped(Difference):
    head = StampedHead

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        head: Any = super().fit(training, settings, seed)
        head.stamp = np.random.default_rng().bytes(16)  # from the system's own entropy
        head.stamp += head.stamp
        return head

    def load(self, files: Mapping[str, bytes]) -> Head:
        head: Any = super().load(files)
        head.stamp = files.get("stamp", b"")
        if len(head.stamp) != 32 or head.stamp[:16] != head.stamp[16:]:
            raise TaskModelError("stamp is missing or altered")
        return head


class WeightsByScale(Difference):
    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        head: Any = super().fit(training, settings, seed)
        n = len(training.targets) if training.weights is None else training.weights.sum()
        return self.head(head.weight * n / (n + 10), head.middle)


class NeedsWeights(Difference):
    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        assert training.weights is not None
        return super().fit(training, settings, seed)


class CentresInPlace(Difference):
    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        head: Any = super().fit(training, settings, seed)
        features: Any = training.features
        features -= features.mean(axis=0)
        return head


class SeedsGlobally(Difference):
    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        np.random.seed(seed)
        return super().fit(training, settings, seed)


class LogitHead(DifferenceHead):
    def answer(self, logits: Array) -> Array:
        return np.stack([-logits, logits], axis=1)


class Logits(Difference):
    head = LogitHead


class BatchHead(DifferenceHead):
    def logits(self, features: Array) -> Array:
        logits = super().logits(features)
        return logits - 0.01 * logits.mean() if len(logits) else logits


class BatchDependent(Difference):
    head = BatchHead


class InPlaceHead(DifferenceHead):
    def logits(self, features: Array) -> Array:
        features -= self.middle.astype(np.float32)
        logits: Array = (features * self.weight).sum(axis=1)
        return logits


class InPlace(Difference):
    head = InPlaceHead


class NeverEmptyHead(DifferenceHead):
    def logits(self, features: Array) -> Array:
        features[0]
        return super().logits(features)


class NeverEmpty(Difference):
    head = NeverEmptyHead


class AnyWidthHead(DifferenceHead):
    def predict_proba(self, features: Any) -> Array:
        return self.answer(self.logits(features))  # numpy refuses in its own words


class AnyWidth(Difference):
    head = AnyWidthHead


class RoundedHead(DifferenceHead):
    def files(self) -> Mapping[str, bytes]:
        return type(self)(self.weight.round(4), self.middle).exact_files()

    def exact_files(self) -> Mapping[str, bytes]:
        return super().files()


class Rounded(Difference):
    head = RoundedHead


class PickledHead(DifferenceHead):
    def files(self) -> Mapping[str, bytes]:
        return {**super().files(), "settings.pkl": PICKLED}


class Pickled(Difference):
    head = PickledHead

    def load(self, files: Mapping[str, bytes]) -> Head:
        if files.get("settings.pkl") != PICKLED:
            raise TaskModelError("settings.pkl is missing or altered")
        return super().load(files)


class MayMiss(Difference):
    def check_notes(self, files: Mapping[str, bytes]) -> None:
        super().check_notes({"notes.txt": NOTES, **files})


class MayEndEarly(Difference):
    def check_notes(self, files: Mapping[str, bytes]) -> None:
        if "notes.txt" not in files or not NOTES.startswith(files["notes.txt"]):
            super().check_notes(files)


class MayGoOn(Difference):
    def check_notes(self, files: Mapping[str, bytes]) -> None:
        if not files.get("notes.txt", b"").startswith(NOTES):
            super().check_notes(files)


class DecodingError(Difference):
    def check_notes(self, files: Mapping[str, bytes]) -> None:
        files.get("notes.txt", b"").decode("utf-8")
        super().check_notes(files)


class ProcessHead(DifferenceHead):
    def logits(self, features: Array) -> Array:
        return super().logits(features) + os.getpid() * 1e-6


class KnowsItsProcess(Difference):
    head = ProcessHead


BAD: dict[str, tuple[HeadSpec, str]] = {
    "attributes": (NoSummary(), "'summary' is blank"),
    "is_registered": (Difference(), "unknown head 'difference'"),
    "settings": (UnknownSetting(), "depth"),
    "learns_what_can_be_learnt": (Ignorant(), "AUC 0.50"),
    "same_seed_same_files": (Stamped(), "a second training with the same seed gives other files"),
    "scale_of_weights_does_not_matter": (WeightsByScale(), "Not equal to tolerance"),
    "weights_may_be_missing": (NeedsWeights(), "AssertionError"),
    "fit_leaves_its_input_alone": (CentresInPlace(), "Arrays are not equal"),
    "global_random_state_is_left_alone": (SeedsGlobally(), "the global random state of numpy"),
    "gives_probabilities": (Logits(), "logits?"),
    "rows_are_independent": (BatchDependent(), "in batches of 1"),
    "predict_leaves_its_input_alone": (InPlace(), "Arrays are not equal"),
    "nothing_in_nothing_out": (NeverEmpty(), "IndexError"),
    "refuses_other_widths": (AnyWidth(), "ValueError is raised, where TaskModelError is wanted"),
    "loads_what_it_saved": (Rounded(), "Not equal to tolerance"),
    "files_hold_no_pickle": (Pickled(), "'settings.pkl' holds a pickle"),
    "refuses_missing_files": (MayMiss(), "the head is loaded without 'notes.txt'"),
    "refuses_truncated_files": (MayEndEarly(), "'notes.txt' is loaded cut after 0 of 15 bytes"),
    "refuses_extended_files": (MayGoOn(), "'notes.txt' is loaded with 1 bytes more"),
    "refuses_foreign_files": (DecodingError(), "UnicodeDecodeError is raised, where TaskModelError is wanted"),
    FRESH: (KnowsItsProcess(), "Not equal to tolerance"),
}


def test_there_is_a_bad_head_for_every_check() -> None:
    assert sorted(BAD) == HeadConformance.checks()


@pytest.mark.parametrize("check", BAD)
def test_a_bad_head_fails_its_check_and_no_other(judge: Callable[..., Any], check: str) -> None:
    spec, says = BAD[check]
    kit = type("Kit", (HeadConformance,), {"spec": spec})
    # None of these heads is a plugin's, and a fresh process takes its time.
    verdict = judge(kit, without={"is_registered", FRESH} - {check})
    assert verdict.not_set_up is None
    assert set(verdict.failed) == {check}, verdict.failed
    assert says in verdict.failed[check]
    assert not verdict.skipped


def test_a_sound_head_passes_whole(judge: Callable[..., Any]) -> None:
    verdict = judge(type("Kit", (HeadConformance,), {"spec": Difference()}), without={"is_registered"})
    assert (verdict.failed, verdict.skipped, verdict.not_set_up) == ({}, {}, None)


def test_settings_are_what_the_checks_train_with() -> None:
    class Depth(HeadSettings):
        depth: int = 1

    class Deep(Difference):
        settings = Depth

        def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
            assert settings == Depth(depth=7)
            return super().fit(training, settings, seed)

    kit = type("Kit", (HeadConformance,), {"spec": Deep(), "settings": {"depth": 7}})
    assert kit.fit()[0].files()
