"""Conformance of a head: that it learns, that each row is answered by itself, and that its files are all there is to it."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.contracts import Bags, Features, Head, HeadSettings, HeadSpec, check_head
from lusfx.errors import TaskModelError
from lusfx.metrics import roc_auc
from lusfx.plugins import load_registry
from lusfx.testing.conformance import Conformance
from lusfx.testing.fresh_process import run_without_torch, whereabouts
from lusfx.testing.pickles import holds_pickle
from lusfx.testing.training_sets import (
    Parts,
    arrays_of,
    copied,
    copied_training,
    make_parts,
    none_of,
    take,
    widened,
)

SEED = 3
SAME = 1e-9
"""Scores of one row that must be the same differ by less."""
EXACTLY = 1e-12
"""Likewise, of one head before and after it was saved."""
SCALE = 1024.0
"""A power of two, by which weights can be multiplied without rounding."""
LOWEST_AUC = 0.8

FRESH_PROCESS = """
from pathlib import Path
import numpy as np
from lusfx.contracts import Bags

folder = Path(sys.argv[1])
given = np.load(folder / "features.npz")
features = Bags(given["rows"], given["starts"]) if "starts" in given else given["rows"]
head = made(*sys.argv[2:]).load({file.name: file.read_bytes() for file in (folder / "head").iterdir()})
np.save(folder / "scores.npy", head.predict_proba(features))
"""


class HeadConformance(Conformance):
    """Checks of one kind of head.

    Example::

        class TestMyHead(HeadConformance):
            spec = MyHeadSpec()
    """

    spec: ClassVar[HeadSpec]
    settings: ClassVar[Mapping[str, Any]] = {}
    """Settings that the checks train with, where the default ones take long."""

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls) -> tuple[Head, Parts]:
        """A head that was trained on a small training set, with that set and rows of other patients."""
        return cls.fit()

    # ---- what it says of itself ---------------------------------------------------------------------------------------

    def test_attributes(self) -> None:
        """Every attribute is of the kind that the contract asks for, and the summary says something."""
        check_head(self.spec)
        assert self.spec.summary.strip(), "'summary' is blank, and is all that `lusfx heads` says of the head"

    def test_is_registered(self) -> None:
        """An installed plugin provides the head: ``pip install --editable .`` in its folder."""
        provided = load_registry().head(self.spec.name)
        assert type(provided).__qualname__ == type(self.spec).__qualname__

    def test_settings(self) -> None:
        """The settings of ``search`` are settings of the head, and settings that a task model recorded are read again."""
        for tried in ({}, self.settings, *self.spec.search):
            chosen = self.spec.settings.model_validate(dict(tried))
            recorded = chosen.model_dump(mode="json")
            assert self.spec.settings.model_validate(recorded) == chosen, f"{recorded} is read as something else"

    # ---- learning -----------------------------------------------------------------------------------------------------

    def test_learns_what_can_be_learnt(self, fitted: tuple[Head, Parts]) -> None:
        """Rows of other patients are ranked by a difference that is plain in the training rows."""
        head, parts = fitted
        auc = roc_auc(parts.held_out_targets, _yes(head, parts))
        assert auc > LOWEST_AUC, f"AUC {auc:.2f} on patients that were not trained on, where classes are 3 apart"

    def test_same_seed_same_files(self, fitted: tuple[Head, Parts]) -> None:
        """The same rows and seed give the same files, to the byte."""
        head, _ = fitted
        again, _ = self.fit()
        assert dict(again.files()) == dict(head.files()), "a second training with the same seed gives other files"

    def test_scale_of_weights_does_not_matter(self, fitted: tuple[Head, Parts]) -> None:
        """Weights say how much rows count beside each other: all of them times a number change nothing."""
        head, parts = fitted
        training = make_parts(self.spec.takes).training
        assert training.weights is not None
        scaled = self.spec.fit(replace(training, weights=training.weights * SCALE), self._settings(), SEED)
        np.testing.assert_allclose(_yes(scaled, parts), _yes(head, parts), rtol=0, atol=1e-6)

    def test_weights_may_be_missing(self) -> None:
        """Without weights all rows count alike, as with weights of 1."""
        parts = make_parts(self.spec.takes)
        ones = np.ones(len(parts.training.targets))
        without, with_ones = (
            self.spec.fit(replace(copied_training(parts.training), weights=weights), self._settings(), SEED)
            for weights in (None, ones)
        )
        np.testing.assert_allclose(_yes(without, parts), _yes(with_ones, parts), rtol=0, atol=1e-6)

    def test_fit_leaves_its_input_alone(self) -> None:
        """Training does not change what it is given, and does not write to it either."""
        training = make_parts(self.spec.takes).training
        given = copied_training(training)
        self.spec.fit(given, self._settings(), SEED)
        before = [*arrays_of(training.features), training.targets, training.groups, training.weights]
        after = [*arrays_of(given.features), given.targets, given.groups, given.weights]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
        self.spec.fit(copied_training(training, writeable=False), self._settings(), SEED)

    def test_global_random_state_is_left_alone(self) -> None:
        """Neither training nor scoring draws from or seeds the global generators of random, numpy and torch."""
        np.random.random()  # noqa: NPY002, RUF100 - the global state is what is looked at
        before = _random_states()
        head, parts = self.fit()
        _answers(head, parts.held_out)
        after = _random_states()
        for library, state in before.items():
            assert after[library] == state, (
                f"the global random state of {library} has changed: use the seed that is given"
            )

    # ---- scoring ------------------------------------------------------------------------------------------------------

    def test_gives_probabilities(self, fitted: tuple[Head, Parts]) -> None:
        """Two columns from 0 to 1 that add up to 1: probabilities, and not logits."""
        head, parts = fitted
        far = copied(parts.held_out)
        arrays_of(far)[0][:] *= 100
        for features in (parts.held_out, far):
            answer = _answers(head, features)
            assert answer.shape == (len(parts.held_out_targets), 2), f"shape {answer.shape}, where (n, 2) is wanted"
            assert ((answer >= 0) & (answer <= 1)).all(), f"values from {answer.min()} to {answer.max()}: logits?"
            np.testing.assert_allclose(answer.sum(axis=1), 1, rtol=0, atol=1e-6)

    def test_rows_are_independent(self, fitted: tuple[Head, Parts]) -> None:
        """A row scores the same alone, with all others, in the opposite order, and three at a time."""
        head, parts = fitted
        together = _answers(head, parts.held_out)
        n = len(together)
        for size in (1, 3):
            batches = [np.arange(start, min(start + size, n)) for start in range(0, n, size)]
            apart = np.concatenate([_answers(head, take(parts.held_out, batch)) for batch in batches])
            np.testing.assert_allclose(apart, together, rtol=0, atol=SAME, err_msg=f"in batches of {size}")
        backwards = _answers(head, take(parts.held_out, np.arange(n)[::-1]))[::-1]
        np.testing.assert_allclose(backwards, together, rtol=0, atol=SAME, err_msg="in the opposite order")

    def test_predict_leaves_its_input_alone(self, fitted: tuple[Head, Parts]) -> None:
        """Scoring does not change what it is given, and does not write to it either."""
        head, parts = fitted
        given = copied(parts.held_out)
        head.predict_proba(given)
        for one, other in zip(arrays_of(parts.held_out), arrays_of(given), strict=True):
            np.testing.assert_array_equal(one, other)
        head.predict_proba(copied(parts.held_out, writeable=False))

    def test_nothing_in_nothing_out(self, fitted: tuple[Head, Parts]) -> None:
        """No rows have no answers: an array of shape (0, 2)."""
        head, parts = fitted
        assert np.shape(head.predict_proba(none_of(parts.held_out))) == (0, 2)

    def test_refuses_other_widths(self, fitted: tuple[Head, Parts]) -> None:
        """Rows of another length than in training raise TaskModelError: they are of another encoder."""
        head, parts = fitted
        for by in (-1, 1):
            _refuses(f"rows {by:+d} long are scored", head.predict_proba, widened(parts.held_out, by))

    # ---- files --------------------------------------------------------------------------------------------------------

    def test_loads_what_it_saved(self, fitted: tuple[Head, Parts]) -> None:
        """A head that was saved and loaded gives the same scores, to 1e-12, and the same files again."""
        head, parts = fitted
        files = dict(head.files())
        assert files, "the head has no files"
        loaded = self.spec.load(files)
        np.testing.assert_allclose(_yes(loaded, parts), _yes(head, parts), rtol=0, atol=EXACTLY)
        assert dict(loaded.files()) == files, "the loaded head has other files than it was loaded from"

    def test_files_hold_no_pickle(self, fitted: tuple[Head, Parts]) -> None:
        """No file is a pickle, packed or not, or an archive with one: loading one runs the code it names."""
        head, _ = fitted
        for name, content in head.files().items():
            assert type(content) is bytes, f"'{name}' is a {type(content).__name__}, where bytes are wanted"
            assert not holds_pickle(content), f"'{name}' holds a pickle; keep arrays as safetensors"

    def test_refuses_missing_files(self, fitted: tuple[Head, Parts]) -> None:
        """Without any one of its files, and with it under another name, a head is not loaded: TaskModelError."""
        files = dict(fitted[0].files())
        for name, content in files.items():
            others = {other: files[other] for other in files if other != name}
            _refuses(f"the head is loaded without '{name}'", self.spec.load, others)
            renamed = others | {f"other-{name}": content}
            _refuses(f"the head is loaded with '{name}' under another name", self.spec.load, renamed)

    def test_refuses_truncated_files(self, fitted: tuple[Head, Parts]) -> None:
        """A file that ends early, anywhere, is not loaded: TaskModelError."""
        for name, content in fitted[0].files().items():
            for n in sorted({0, 1, 8, len(content) // 3, len(content) // 2, len(content) - 9, len(content) - 1}):
                if 0 <= n < len(content):
                    self._refuses_content(fitted[0], name, content[:n], f"cut after {n} of {len(content)} bytes")

    def test_refuses_extended_files(self, fitted: tuple[Head, Parts]) -> None:
        """A file that goes on after its end is not loaded: TaskModelError."""
        for name, content in fitted[0].files().items():
            for more in (b"\0", b"\n", b"x" * 8, content):
                self._refuses_content(fitted[0], name, content + more, f"with {len(more)} bytes more")

    def test_refuses_foreign_files(self, fitted: tuple[Head, Parts]) -> None:
        """Noise, a pickle, an archive, JSON and another head's arrays are not loaded: TaskModelError."""
        from safetensors.numpy import save

        noise = np.random.default_rng(0).bytes(1000)
        foreign = {
            "noise": noise,
            "a pickle": pickle.dumps({"weight": [0.5]}),
            "an archive": b"PK\x03\x04" + noise,
            "empty JSON": b"{}",
            "text": "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n".encode(),
            "arrays of something else": save({"something_else": np.zeros(3)}),
            "empty arrays": save({}),
        }
        for name in fitted[0].files():
            for what, content in foreign.items():
                self._refuses_content(fitted[0], name, content, f"with {what} in it")

    def test_scores_in_a_fresh_process(self, fitted: tuple[Head, Parts], tmp_path: Path) -> None:
        """A new process without torch loads the files and gives the same scores, to 1e-12."""
        head, parts = fitted
        where = whereabouts(self.spec)
        names = ["rows", "starts"] if isinstance(parts.held_out, Bags) else ["rows"]
        np.savez(tmp_path / "features.npz", **dict(zip(names, arrays_of(parts.held_out), strict=True)))  # type: ignore[arg-type]
        (tmp_path / "head").mkdir()
        for name, content in head.files().items():
            (tmp_path / "head" / name).write_bytes(content)
        run_without_torch(FRESH_PROCESS, [str(tmp_path), *where])
        there = np.load(tmp_path / "scores.npy")
        np.testing.assert_allclose(there[:, 1], _yes(head, parts), rtol=0, atol=EXACTLY)

    # ---- what the checks share ----------------------------------------------------------------------------------------

    @classmethod
    def fit(cls) -> tuple[Head, Parts]:
        """Train a head on the small training set; what the fixture ``fitted`` gives."""
        parts = make_parts(cls.spec.takes)
        return cls.spec.fit(parts.training, cls._settings(), SEED), parts

    @classmethod
    def _settings(cls) -> HeadSettings:
        return cls.spec.settings.model_validate(dict(cls.settings))

    def _refuses_content(self, head: Head, name: str, content: bytes, how: str) -> None:
        files = dict(head.files()) | {name: content}
        _refuses(f"'{name}' is loaded {how}", self.spec.load, files)


def _yes(head: Head, parts: Parts) -> NDArray[np.float64]:
    return _answers(head, parts.held_out)[:, 1]


def _answers(head: Head, features: Features) -> NDArray[np.float64]:
    """What a head says of copies: one that changes its input fails the check of that, and no other."""
    return np.asarray(head.predict_proba(copied(features)))


def _refuses(otherwise: str, call: Callable[[Any], object], argument: object) -> None:
    """Call what must raise TaskModelError, and nothing else.

    :param otherwise: what is wrong if it raises nothing.
    """
    try:
        call(argument)
    except TaskModelError:
        return
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} is raised, where TaskModelError is wanted") from error
    raise AssertionError(f"{otherwise}, where TaskModelError is wanted")


def _random_states() -> dict[str, bytes]:
    states = {"random": repr(random.getstate()).encode(), "numpy": pickle.dumps(np.random.get_state())}
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return states
