"""Conformance of an encoder: that it is what its identity says, and that each image is encoded by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.contracts import Device, Encoder, EncoderRequest, EncoderSpec, check_encoder
from lusfx.plugins import load_registry
from lusfx.testing.conformance import Conformance

SAME = 1e-4
"""Embeddings that must be the same differ by less, as a part of the largest value or of 1."""
BATCHES = (1, 3, 8)


class EncoderConformance(Conformance):
    """Checks of one encoder.

    Example::

        class TestMyEncoder(EncoderConformance):
            spec = MY_ENCODER
    """

    spec: ClassVar[EncoderSpec]
    request_name: ClassVar[str] = ""
    """The name that a user would give; needed for a member of a family, ``timm/mobilenetv3_small_100`` say."""
    device: ClassVar[Device] = "cpu"

    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls) -> Encoder:
        """The encoder, opened once for all checks."""
        return cls.open()

    # ---- what it says of itself ---------------------------------------------------------------------------------------

    def test_attributes(self) -> None:
        """Every attribute of the spec is of the kind that the contract asks for; summary and licence say something."""
        check_encoder(self.spec)
        for name in ("summary", "licence"):
            assert getattr(self.spec, name).strip(), f"'{name}' is blank, and `lusfx encoders` shows it"

    def test_is_registered(self) -> None:
        """An installed plugin provides the encoder: ``pip install --editable .`` in its folder."""
        provided = load_registry().encoder(self._name())
        assert provided.name == self.spec.name
        assert provided.open.__qualname__ == self.spec.open.__qualname__

    def test_describes_itself(self, encoder: Encoder) -> None:
        """The opened encoder states its name, identity, preprocessing and runtime."""
        assert isinstance(encoder, Encoder), f"'open' gives a {type(encoder).__name__}, which is no Encoder"
        assert encoder.name, "'name' is blank"
        assert isinstance(encoder.identity, EncoderIdentity), "'identity' must be an EncoderIdentity"
        assert isinstance(encoder.preprocess, PreprocessSpec), "'preprocess' must be a PreprocessSpec"
        assert isinstance(encoder.runtime, str), "'runtime' must say what computes, with its version"
        assert encoder.runtime, "'runtime' must say what computes, with its version"
        sets = encoder.training_sets
        assert isinstance(sets, tuple), "'training_sets' must be a tuple of names"
        assert all(isinstance(name, str) for name in sets), "'training_sets' must be a tuple of names"
        assert encoder.streams >= 1, "'streams' must say how many threads may call 'encode' at once: 1 or more"

    def test_opens_as_the_same(self, encoder: Encoder) -> None:
        """Opened again it has the same identity and fingerprint: else no cache would know its own embeddings again."""
        again = self.open()
        for stated, before in ((again.identity, encoder.identity), (again.preprocess, encoder.preprocess)):
            other = [name for name, value in before if getattr(stated, name) != value]
            assert not other, f"opened again, it states another {' and another '.join(other)}"
        assert _fingerprint(again) == _fingerprint(encoder)

    # ---- what it computes ---------------------------------------------------------------------------------------------

    def test_embeddings_are_as_the_identity_says(self, encoder: Encoder) -> None:
        """Images of the stated size give float32 embeddings of the stated length, a row an image."""
        for n in BATCHES:
            found = encoder.encode(_images(encoder)[:n])
            wanted = (n, encoder.identity.dim)
            assert isinstance(found, np.ndarray), f"'encode' gives a {type(found).__name__}, where an array is wanted"
            assert found.shape == wanted, f"embeddings of shape {found.shape}, where the identity says {wanted}"
            assert found.dtype == np.float32, f"embeddings are {found.dtype}, where float32 is wanted"

    def test_embeddings_are_finite(self, encoder: Encoder) -> None:
        """Black, white and noise have finite embeddings."""
        for name, image in zip(("black", "white"), _images(encoder), strict=False):
            assert np.isfinite(_encoded(encoder, image[None])).all(), f"an image that is {name} has no finite embedding"
        assert np.isfinite(_encoded(encoder, _images(encoder))).all()

    def test_images_are_told_apart(self, encoder: Encoder) -> None:
        """Images that differ have embeddings that differ."""
        found = _encoded(encoder, _images(encoder))
        for one in range(len(found)):
            for other in range(one):
                assert not np.array_equal(found[one], found[other]), f"images {other} and {one} have one embedding"

    def test_images_are_independent(self, encoder: Encoder) -> None:
        """An image has the same embedding alone, among three, among eight, and in the opposite order."""
        images = _images(encoder)
        together = _encoded(encoder, images)
        for size in BATCHES:
            apart = [_encoded(encoder, images[start : start + size]) for start in range(0, len(images), size)]
            _assert_same(np.concatenate(apart), together, f"in batches of {size}")
        backwards = _encoded(encoder, np.ascontiguousarray(images[::-1]))[::-1]
        _assert_same(backwards, together, "in the opposite order")

    def test_batches_beside_one_another(self, encoder: Encoder) -> None:
        """As many threads as ``streams`` says may encode at the same time, each a batch, and each gets its own."""
        batches = [image[None] for image in _images(encoder)] * 2
        alone = [_encoded(encoder, batch) for batch in batches]
        with ThreadPoolExecutor(encoder.streams) as threads:
            beside = list(threads.map(lambda batch: _encoded(encoder, batch), batches))
        _assert_same(np.concatenate(beside), np.concatenate(alone), "on several threads")

    def test_is_deterministic(self, encoder: Encoder) -> None:
        """The same images have the same embeddings again, and so they have if the encoder is opened again."""
        images = _images(encoder)
        first = _encoded(encoder, images)
        _assert_same(_encoded(encoder, images), first, "the second time")
        _assert_same(_encoded(self.open(), images), first, "opened again")

    def test_images_are_left_alone(self, encoder: Encoder) -> None:
        """Encoding does not change the images, and does not write to them either."""
        images = _images(encoder)
        given = images.copy()
        encoder.encode(given)
        np.testing.assert_array_equal(given, images)
        given.flags.writeable = False
        encoder.encode(given)

    def test_embeddings_are_the_callers_own(self, encoder: Encoder) -> None:
        """A second batch does not overwrite the embeddings of the first."""
        images = _images(encoder)
        first = encoder.encode(images[:3])
        kept = first.copy()
        encoder.encode(images[3:6])
        np.testing.assert_array_equal(first, kept)

    # ---- what the checks share ----------------------------------------------------------------------------------------

    @classmethod
    def open(cls) -> Encoder:
        """Open the encoder; what the fixture ``encoder`` gives."""
        return cls.spec.open(EncoderRequest(cls._name(), device=cls.device))

    @classmethod
    def _name(cls) -> str:
        return cls.request_name or cls.spec.name


def _images(encoder: Encoder) -> NDArray[np.uint8]:
    """Eight images ``(8, size, size)``: black, white, stripes, a ramp, and noise."""
    size = encoder.preprocess.size
    generator = np.random.default_rng(0)
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    stripes = np.where(np.arange(size) % 8 < 4, 200, 0).astype(np.uint8)
    plain = [np.zeros(size, np.uint8), np.full(size, 255, np.uint8), stripes, ramp]
    images = [np.broadcast_to(row, (size, size)) for row in plain]
    images += [generator.integers(0, 256, (size, size), dtype=np.uint8) for _ in range(4)]
    return np.stack(images)


def _encoded(encoder: Encoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Copies of the embeddings of copies: one check is about each of these, and no other."""
    return np.array(encoder.encode(images.copy()))


def _fingerprint(encoder: Encoder) -> str:
    return encoder.feature_spec.fingerprint


def _assert_same(found: NDArray[np.float32], wanted: NDArray[np.float32], when: str) -> None:
    largest = max(float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)), 1.0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=SAME * largest, err_msg=f"embeddings differ {when}")
