"""For every check of an encoder there is an encoder that fails it, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.contracts import Encoder, EncoderRequest, EncoderSpec
from lusfx.testing import EncoderConformance

Array = NDArray[Any]
DIM = 16


class Columns(Encoder):
    """A sound encoder that no plugin provides: the mean and the spread of eight columns."""

    name = "columns"
    identity = EncoderIdentity(
        architecture="columns-1",
        weights_sha256="0" * 64,
        layer="columns",
        pooling="none",
        dim=DIM,
        channels=1,
        mean=(0.0,),
        std=(1.0,),
    )
    preprocess = PreprocessSpec(size=32)
    runtime = "numpy"

    def encode(self, images: Array) -> Array:
        cells = images.reshape(len(images), 32, 8, 4).astype(np.float32)
        return np.concatenate([cells.mean(axis=(1, 3)), cells.std(axis=(1, 3))], axis=1)


def opened(kind: type[Encoder]) -> EncoderSpec:
    return EncoderSpec("columns", "means of columns", "Apache-2.0", lambda request: kind())


class Unnamed(Columns):
    runtime = ""


class OtherEachTime(Columns):
    n_opened = 0

    def __init__(self) -> None:
        type(self).n_opened += 1
        self.identity = Columns.identity.model_copy(update={"weights_sha256": f"{self.n_opened:064x}"})


class Doubles(Columns):
    def encode(self, images: Array) -> Array:
        return super().encode(images).astype(np.float64)


class Shorter(Columns):
    def encode(self, images: Array) -> Array:
        return super().encode(images)[:, 1:]


class Logarithms(Columns):
    def encode(self, images: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(super().encode(images))


class Constant(Columns):
    def encode(self, images: Array) -> Array:
        return np.zeros((len(images), DIM), np.float32)


class BatchNorm(Columns):
    def encode(self, images: Array) -> Array:
        embeddings = super().encode(images)
        return embeddings - np.float32(0.1) * embeddings.mean(axis=0)


class OtherWeightsEachTime(Columns):
    n_opened = 0

    def __init__(self) -> None:
        type(self).n_opened += 1
        self.shift = np.float32(self.n_opened)

    def encode(self, images: Array) -> Array:
        return super().encode(images) + self.shift


class InPlace(Columns):
    def encode(self, images: Array) -> Array:
        images //= 2
        return super().encode(images)


class OneBuffer(Columns):
    def __init__(self) -> None:
        self.buffer = np.zeros((8, DIM), np.float32)

    def encode(self, images: Array) -> Array:
        self.buffer[: len(images)] = super().encode(images)
        return self.buffer[: len(images)]


class OneAtATime(Columns):
    """It says that two threads may use it, and keeps what it was given where either finds it."""

    streams = 2

    def encode(self, images: Array) -> Array:
        self.images = images
        time.sleep(0.01)
        return super().encode(self.images)


BAD = {
    "attributes": (EncoderSpec("columns", "means", " ", lambda request: Columns()), "'licence' is blank"),
    "is_registered": (opened(Columns), "unknown encoder 'columns'"),
    "describes_itself": (opened(Unnamed), "'runtime' must say what computes"),
    "opens_as_the_same": (opened(OtherEachTime), "it states another weights_sha256"),
    "embeddings_are_as_the_identity_says": (opened(Doubles), "embeddings are float64"),
    "embeddings_are_finite": (opened(Logarithms), "an image that is black has no finite embedding"),
    "images_are_told_apart": (opened(Constant), "images 0 and 1 have one embedding"),
    "images_are_independent": (opened(BatchNorm), "embeddings differ in batches of 1"),
    "batches_beside_one_another": (opened(OneAtATime), "embeddings differ on several threads"),
    "is_deterministic": (opened(OtherWeightsEachTime), "embeddings differ opened again"),
    "images_are_left_alone": (opened(InPlace), "Arrays are not equal"),
    "embeddings_are_the_callers_own": (opened(OneBuffer), "Arrays are not equal"),
}
MORE = {"embeddings_are_as_the_identity_says": (opened(Shorter), "where the identity says (1, 16)")}


def test_there_is_a_bad_encoder_for_every_check() -> None:
    assert sorted(BAD) == EncoderConformance.checks()


@pytest.mark.parametrize(("check", "case"), [*BAD.items(), *MORE.items()])
def test_a_bad_encoder_fails_its_check_and_no_other(
    judge: Callable[..., Any], check: str, case: tuple[EncoderSpec, str]
) -> None:
    spec, says = case
    verdict = judge(type("Kit", (EncoderConformance,), {"spec": spec}), without={"is_registered"} - {check})
    assert verdict.not_set_up is None
    assert set(verdict.failed) == {check}, verdict.failed
    assert says in verdict.failed[check]


def test_a_sound_encoder_passes(judge: Callable[..., Any]) -> None:
    verdict = judge(type("Kit", (EncoderConformance,), {"spec": opened(Columns)}), without={"is_registered"})
    assert (verdict.failed, verdict.skipped, verdict.not_set_up) == ({}, {}, None)


def test_a_member_of_a_family_is_asked_for_by_its_name() -> None:
    asked: list[EncoderRequest] = []

    def open_member(request: EncoderRequest) -> Encoder:
        asked.append(request)
        return Columns()

    spec = EncoderSpec("family", "several", "Apache-2.0", open_member, family=True)
    kit: Any = type("Kit", (EncoderConformance,), {"spec": spec, "request_name": "family/member", "device": "auto"})
    kit.open()
    assert asked == [EncoderRequest("family/member", device="auto")]
