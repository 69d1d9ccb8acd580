"""The store under any sequence of writes, damage, repairs and tidying: what it returns was written, or it says so."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from lusfx.cache import Cache, gc, repair, verify
from lusfx.config import EncoderIdentity, FeatureSpec, PreprocessSpec
from lusfx.errors import ClipNotCachedError, CorruptRecordError
from lusfx.types import ClipEmbeddings

SPEC = FeatureSpec(
    encoder=EncoderIdentity(
        architecture="test",
        weights_sha256="cd" * 32,
        layer="last",
        pooling="mean",
        dim=3,
        channels=1,
        mean=(0,),
        std=(1,),
    ),
    preprocess=PreprocessSpec(),
)


def make_clip(seed: int) -> ClipEmbeddings:
    generator = np.random.default_rng(seed)
    n_frames = 1 + seed % 9
    return ClipEmbeddings(
        generator.normal(size=(n_frames, 3)).astype(np.float32),
        np.arange(n_frames, dtype=np.float64),
        np.arange(n_frames, dtype=np.int64),
        np.zeros(n_frames, np.uint8),
    )


class StoreMachine(RuleBasedStateMachine):
    """The model is a dictionary of what was written, and a set of what was damaged since."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.cache = Cache.open(self.folder / "cache", create=True)
        self.store = self.cache.store(SPEC)
        self.written: dict[str, int] = {}
        self.damaged: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(target=keys, number=st.integers(0, 5))
    def some_key(self, number: int) -> str:
        return f"{number:064x}"

    @rule(key=keys, seed=st.integers(0, 99))
    def write(self, key: str, seed: int) -> None:
        self.store.write(key, make_clip(seed))
        self.written[key] = seed
        self.damaged.discard(key)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.store.path_of(key).unlink(missing_ok=True)
        self.written.pop(key, None)
        self.damaged.discard(key)

    @rule(key=keys, position=st.integers(0, 10**6), bit=st.integers(0, 7))
    def flip_a_bit(self, key: str, position: int, bit: int) -> None:
        if key in self.written and key not in self.damaged:
            path = self.store.path_of(key)
            content = bytearray(path.read_bytes())
            content[position % len(content)] ^= 1 << bit
            path.write_bytes(content)
            self.damaged.add(key)

    @rule()
    def set_damage_aside(self) -> None:
        assert {Path(finding.file).stem for finding in repair(self.cache)} == self.damaged
        for key in self.damaged:
            del self.written[key]
        self.damaged.clear()

    @rule()
    def tidy(self) -> None:
        gc(self.cache)

    @rule()
    def reopen(self) -> None:
        self.cache = Cache.open(self.folder / "cache")
        self.store = self.cache.store(SPEC)

    @invariant()
    def what_is_read_was_written(self) -> None:
        assert self.store.keys() == set(self.written)
        for number in range(6):
            key = f"{number:064x}"
            try:
                read = self.store.read(key)
            except ClipNotCachedError:
                assert key not in self.written
            except CorruptRecordError:
                assert key in self.damaged
            else:
                assert key not in self.damaged
                expected = make_clip(self.written[key]).embeddings.astype(np.float16)
                np.testing.assert_array_equal(read.embeddings, expected)

    @invariant()
    def verify_agrees(self) -> None:
        assert verify(self.cache).sound == (not self.damaged)


StoreMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=20)
TestStore = StoreMachine.TestCase
