"""Conformance of a task: what it says of itself, how it reads labels, what its own code does, and that it can be learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.cache import Cache
from lusfx.contracts import UNKNOWN, Aggregation, Task, check_task
from lusfx.engine.samples.features import FeatureMaker
from lusfx.engine.scoring.answers import Answers, Panel
from lusfx.engine.training.result import TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.errors import LusfxError
from lusfx.plugins import load_registry
from lusfx.task_model import TaskCard, TaskModel, load_task_model
from lusfx.testing.conformance import Conformance
from lusfx.testing.fresh_process import run_without_torch, whereabouts
from lusfx.testing.small_cache import FRAME_TIME_S, SmallCache, example_rows, make_small_cache
from lusfx.types import ClipEmbeddings

NONSENSE = "no such label \N{SNOWMAN}"
LENGTHS = (1, 2, 7, 100)
"""Frames of the clips that a task's own code is tried on."""
SAME = 1e-9
"""Scores that must be the same differ by less."""
RATE_SAME = 1e-6
"""Likewise, of one clip at several frame rates."""
LOWEST_AUC = 0.8

FRESH_PROCESS = """
from lusfx.engine.scoring.score import score
from lusfx.plugins import load_registry

model, cache, out, *where = sys.argv[1:]
if where:
    task = made(*where)
    load_registry().tasks.add(task.name, task, "the tests")
score([], [model], cache, out, with_gates=False)
"""

Trained = tuple[SmallCache, TaskModel, TrainingResult]
"""A small cache, a model that was trained on it, and the result of the training."""


class TaskConformance(Conformance):
    """Checks of one task.

    Example::

        class TestMyTask(TaskConformance):
            task = MyTask()
    """

    task: ClassVar[Task]
    examples: ClassVar[Sequence[Mapping[str, str]]] = ()
    """Rows of label cells, each class at least once. Needed where cells are neither numbers nor names of classes."""
    dim: ClassVar[int] = 24
    """Length of the made-up embeddings; more than the task has outcomes."""

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, tmp_path_factory: pytest.TempPathFactory) -> Trained:
        """What :meth:`train` gives, once for all checks."""
        return cls.train(tmp_path_factory.mktemp("conformance"))

    # ---- what it says of itself ---------------------------------------------------------------------------------------

    def test_attributes(self) -> None:
        """Every attribute is of the kind that the contract asks for."""
        check_task(self.task)

    def test_question(self) -> None:
        """The first line of the docstring is the task's own question."""
        assert type(self.task).__doc__, "the class has no docstring, whose first line is what people read"
        inherited = [kind.__doc__.strip().splitlines()[0] for kind in type(self.task).__mro__[1:] if kind.__doc__]
        assert self.task.question not in inherited, "the question is that of the class that this one is made from"

    def test_is_registered(self) -> None:
        """An installed plugin provides the task: ``pip install --editable .`` in its folder."""
        try:
            provided = load_registry().task(self.task.name)
        except LusfxError as error:
            raise AssertionError(
                f"{error}. Install the plugin (pip install --editable .), or set is_plugin = False if it is none"
            ) from None
        assert type(provided).__qualname__ == type(self.task).__qualname__, "another plugin has a task of this name"

    # ---- labels -------------------------------------------------------------------------------------------------------

    def test_examples_have_every_answer(self) -> None:
        """The examples say yes and no to each outcome."""
        answers = np.array([self._outcomes(dict(row)) for row in self._examples()])
        for name, column in zip(self.task.outcomes, answers.T, strict=True):
            assert {0, 1} <= set(column.tolist()), f"no example says both yes and no to '{name}'"

    def test_blank_is_not_known(self) -> None:
        """A blank cell, and each word for *not known*, is never a negative."""
        for word in ("", *self.task.not_known, *(word.upper() for word in self.task.not_known)):
            row = dict.fromkeys(self.task.label_columns, word)
            assert set(self._outcomes(row)) == {UNKNOWN}, f"a row of '{word}' is taken for a label"

    def test_nonsense_is_no_label(self) -> None:
        """A cell that makes no sense raises ValueError or is not known; it is never a class."""
        row = dict.fromkeys(self.task.label_columns, NONSENSE)
        try:
            outcomes = self._outcomes(row)
        except ValueError:
            return
        assert set(outcomes) == {UNKNOWN}, f"a row of '{NONSENSE}' is taken for a label"

    def test_reading_labels_changes_nothing(self) -> None:
        """The same row says the same again, and reading leaves it as it was."""
        for example in self._examples():
            row = dict(example)
            first = self._outcomes(row)
            assert row == dict(example), "the task changes the row it reads"
            assert self._outcomes(row) == first, "the same row says something else the second time"

    # ---- the task's own code ------------------------------------------------------------------------------------------

    def test_features_of_any_length(self) -> None:
        """Clips of one frame, two, seven and a hundred give finite features of one length."""
        lengths = set()
        for clip in self._clips():
            units = self._maker().of_units([[self._maker().of_clip(clip)]])
            assert units.finite.all(), f"the features of a clip of {clip.n_frames} frames are not all finite"
            lengths.add(units.n_features)
        assert len(lengths) == 1, f"features have lengths {sorted(lengths)}"

    def test_pooling_leaves_its_input_alone(self) -> None:
        """The task's own pooling does not change the embeddings or the times that it is given, nor writes to them."""
        for clip in self._clips():
            embeddings, times_s = clip.embeddings.astype(np.float32), clip.times_s.copy()
            given = embeddings.copy(), times_s.copy()
            self.task.pool(*given)
            np.testing.assert_array_equal(given[0], embeddings)
            np.testing.assert_array_equal(given[1], times_s)
            _require_readable_alone(self.task.pool, *given)

    def test_features_are_of_the_clip_alone(self) -> None:
        """Features do not depend on which clips came before: pooling remembers nothing."""
        clips = self._clips()
        first = [self._vector(clip) for clip in clips]
        again = [self._vector(clip) for clip in reversed(clips)][::-1]
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other, err_msg="features depend on which clips came before")

    def test_aggregation_gives_probabilities(self) -> None:
        """Aggregated scores are from 0 to 1 for frames of every probability, in clips of every length."""
        for probabilities, durations_s in self._frame_scores():
            score = self._aggregated(probabilities, durations_s)
            assert 0 <= score <= 1, f"the aggregation gives {score}: a probability is wanted, not a logit"

    def test_aggregation_leaves_its_input_alone(self) -> None:
        """The aggregation does not change or write to what it is given, and says the same of it again."""
        for probabilities, durations_s in self._frame_scores():
            aggregate = self._aggregation()
            given = probabilities.copy(), durations_s.copy()
            first = aggregate(*given)
            np.testing.assert_array_equal(given[0], probabilities)
            np.testing.assert_array_equal(given[1], durations_s)
            assert aggregate(*given) == first, "the same frames score otherwise the second time"
            _require_readable_alone(aggregate, *given)

    def test_aggregation_is_of_the_clip_alone(self) -> None:
        """Aggregated scores do not depend on which clips came before: the aggregation remembers nothing."""
        clips = self._frame_scores()
        first = [self._aggregated(*clip) for clip in clips]
        again = [self._aggregated(*clip) for clip in reversed(clips)][::-1]
        assert again == first, "the scores depend on which clips came before"

    def test_aggregation_rises_with_the_frames(self) -> None:
        """A clip whose frames are all likelier does not score lower, and one of sure frames scores higher than one of none."""
        for n in LENGTHS:
            durations_s = np.full(n, FRAME_TIME_S)
            none, sure = (self._aggregated(np.full(n, p), durations_s) for p in (0.0, 1.0))
            assert sure > none, f"{n} frames of probability 1 score {sure:.3f}, and as many of 0 score {none:.3f}"
        for probabilities, durations_s in self._frame_scores():
            lower = self._aggregated(probabilities, durations_s)
            higher = self._aggregated(1 - (1 - probabilities) * 0.5, durations_s)
            assert higher >= lower - SAME, f"the score falls from {lower:.3f} to {higher:.3f} where each frame's rises"

    def test_aggregation_is_in_seconds(self) -> None:
        """A frame that is shown two or three times in its time counts as it does once: frame rates change nothing."""
        generator = np.random.default_rng(2)
        for probabilities, durations_s in self._frame_scores():
            # A still has no frame rate; twice throughout, and then some frames more often than others.
            for times in (np.full(len(probabilities), 2), generator.integers(1, 4, len(probabilities))):
                if len(probabilities) > 1:
                    once = self._aggregated(probabilities, durations_s)
                    split = self._aggregated(np.repeat(probabilities, times), np.repeat(durations_s / times, times))
                    assert abs(split - once) < RATE_SAME, f"at another frame rate {once:.4f} becomes {split:.4f}"

    # ---- training and scoring -----------------------------------------------------------------------------------------

    def test_learns_what_can_be_learnt(self, trained: Trained) -> None:
        """Made-up embeddings that tell the answers are learnt from."""
        _, _, result = trained
        for outcome in result.outcomes:
            auc = outcome.metrics["roc_auc"].value
            assert auc > LOWEST_AUC, f"'{outcome.name}': AUC {auc:.2f} where the answer is in the embeddings"

    def test_scores_are_probabilities(self, trained: Trained) -> None:
        """Every answered unit has a probability an outcome, and every other one a reason."""
        small, model, _ = trained
        answers = [answer for said in self._ask(model, small, small.clips()).values() for answer in said]
        assert answers, "no unit of the small cache has an answer"
        for answer in answers:
            assert (answer.probabilities is None) == (answer.reason is not None)
            if answer.probabilities is not None:
                assert answer.probabilities.shape == (len(self.task.outcomes),)
                assert ((answer.probabilities >= 0) & (answer.probabilities <= 1)).all()

    def test_scores_do_not_depend_on_the_batch(self, trained: Trained) -> None:
        """Clips, or exams, that are asked one by one or in another order have the same scores."""
        small, model, _ = trained
        clips = small.clips()
        together = _flat(self._ask(model, small, clips))
        backwards = _flat(self._ask(model, small, dict(reversed(clips.items()))))
        alone: dict[str, list[NDArray[np.float64] | None]] = {}
        for keys in _exams(small).values():
            portions = [keys] if self.task.unit == "exam" else [[key] for key in keys]
            for portion in portions:
                alone |= _flat(self._ask(model, small, {key: clips[key] for key in portion}))
        _assert_same(together, backwards)
        _assert_same(together, alone)

    def test_scoring_leaves_embeddings_alone(self, trained: Trained) -> None:
        """Scoring does not change the embeddings that it is given."""
        small, model, _ = trained
        clips = small.clips()
        before = {key: clip.embeddings.copy() for key, clip in clips.items()}
        self._ask(model, small, clips)
        for key, clip in clips.items():
            np.testing.assert_array_equal(clip.embeddings, before[key])

    def test_scores_in_a_fresh_process(self, trained: Trained, tmp_path: Path) -> None:
        """A new process without torch gives the scores that this one gives, to 1e-6."""
        import pyarrow.parquet

        small, model, result = trained
        # A task with code of its own that no plugin provides is taken there from its file.
        provided = load_registry().tasks.as_mapping().get(self.task.name)
        own = model.card.task.needs_plugin and type(provided) is not type(self.task)
        where = whereabouts(self.task) if own else ()
        here = [p for said in _flat(self._ask(model, small, small.clips())).values() for p in said if p is not None]
        place = tmp_path / "scores.parquet"
        run_without_torch(FRESH_PROCESS, [str(result.out), str(small.cache), str(place), *where])
        rows = pyarrow.parquet.read_table(place).to_pylist()
        there = sorted(row["probability"] for row in rows if row["probability"] is not None)
        np.testing.assert_allclose(there, sorted(np.concatenate(here).tolist()), rtol=0, atol=1e-6)

    # ---- what the checks share ----------------------------------------------------------------------------------------

    @classmethod
    def not_applicable(cls) -> dict[str, str]:
        """Checks of a pooling and an aggregation that the task does not have."""
        missing = super().not_applicable()
        task = getattr(cls, "task", None)  # a class without one is there to be built upon
        if task is not None and task.pooling != "custom":
            missing["pooling_leaves_its_input_alone"] = "the task has no pooling of its own"
        if task is not None and task.aggregate is None:
            aggregation = (name for name in vars(TaskConformance) if name.startswith("test_aggregation_"))
            missing |= {name.removeprefix("test_"): "the task aggregates nothing" for name in aggregation}
        return missing

    @classmethod
    def train(cls, folder: Path) -> Trained:
        """Make a small cache in a folder and train the task on it."""
        small = make_small_cache(folder / "small", cls.task, examples=cls._examples(), dim=cls.dim)
        (result,) = train_task(
            [cls.task], small.labels, small.cache, folder / "model", n_folds=3, n_repeats=1, site_key=small.site_key
        )
        heads = load_registry().heads.as_mapping()
        return small, load_task_model(folder / "model", heads, {cls.task.name: cls.task}), result

    @classmethod
    def _examples(cls) -> list[Mapping[str, str]]:
        return list(cls.examples) or list(example_rows(cls.task))

    def _outcomes(self, row: Mapping[str, str]) -> tuple[int, ...]:
        return self.task.outcome_targets(self.task.target(row))

    def _maker(self) -> FeatureMaker:
        return FeatureMaker(TaskCard.of(self.task), self.task)

    def _clips(self) -> list[ClipEmbeddings]:
        generator = np.random.default_rng(0)
        fewest = self.task.abstain.min_frames
        return [
            ClipEmbeddings(
                generator.normal(size=(n, self.dim)).astype(np.float16).astype(np.float32),
                np.arange(n, dtype=np.float64) * FRAME_TIME_S,
                np.arange(n, dtype=np.int64),
                np.zeros(n, np.uint8),
                {"beam_confidence": 1.0},
            )
            for n in sorted({max(n, fewest) for n in LENGTHS})
        ]

    def _vector(self, clip: ClipEmbeddings) -> NDArray[np.floating]:
        features = self._maker().of_units([[self._maker().of_clip(clip)]]).features
        return features if isinstance(features, np.ndarray) else features.rows

    def _aggregated(self, probabilities: NDArray[np.float64], durations_s: NDArray[np.float64]) -> float:
        return self._aggregation()(probabilities.copy(), durations_s.copy())

    def _aggregation(self) -> Aggregation:
        assert self.task.aggregate is not None, "a task that aggregates nothing has no such check"
        return self.task.aggregate

    def _frame_scores(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        generator = np.random.default_rng(1)
        made = []
        for n in LENGTHS:
            durations_s = np.ones(1) if n == 1 else generator.uniform(0.02, 0.06, n)
            made += [(p, durations_s) for p in (np.zeros(n), np.ones(n), generator.random(n), np.full(n, 0.5))]
        return made

    def _ask(self, model: TaskModel, small: SmallCache, clips: Mapping[str, ClipEmbeddings]) -> Answers:
        exams = {exam: [key for key in keys if key in clips] for exam, keys in _exams(small).items()}
        whole = {exam: keys for exam, keys in exams.items() if keys}
        return Panel([model], with_gates=False).ask(clips, whole, small.store.fingerprint)[model.digest]


def _require_readable_alone(
    code: Callable[[NDArray[Any], NDArray[Any]], object], first: NDArray[Any], second: NDArray[Any]
) -> None:
    """Call a plugin's code on arrays that cannot be written to, as the engine does."""
    first.flags.writeable = second.flags.writeable = False
    try:
        code(first, second)
    except ValueError as error:
        raise AssertionError(
            f"it writes to what it is given, or fails on arrays that cannot be written: {error}"
        ) from error


def _exams(small: SmallCache) -> dict[str, list[str]]:
    exams: dict[str, list[str]] = {}
    for key, member in sorted(Cache.open(small.cache).memberships().items()):
        exams.setdefault(member.exam or key, []).append(key)
    return exams


def _flat(answers: Answers) -> dict[str, list[NDArray[np.float64] | None]]:
    return {name: [answer.probabilities for answer in said] for name, said in answers.items()}


def _assert_same(
    one: Mapping[str, list[NDArray[np.float64] | None]], other: Mapping[str, list[NDArray[np.float64] | None]]
) -> None:
    assert set(one) == set(other)
    for name, said in one.items():
        for first, second in zip(said, other[name], strict=True):
            assert (first is None) == (second is None), "whether a unit is answered depends on what is asked with it"
            if first is not None and second is not None:
                np.testing.assert_allclose(first, second, rtol=0, atol=SAME)
