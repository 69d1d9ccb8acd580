"""No patient stands on both sides: of a DICOM archive, by tables that name other patients than the files do."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lusfx.contracts import Task
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.evaluation.result import EvaluationResult
from lusfx.engine.extraction.extract import extract
from lusfx.engine.training.result import TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.errors import LeakError, LusfxError, TrainingRefusedError
from lusfx.site_key import SiteKey, SiteKeyError
from lusfx.synth import write_archive

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_resamples")]
N_PATIENTS = 8
KEY, OTHER_KEY = SiteKey(b"k" * 32), SiteKey(b"o" * 32)


class Lines(Task):
    """Lines, one answer a clip."""

    name = "lines"
    label_columns = ("lines",)


def name_of(clip: Path) -> str:
    """The patient as the DICOM file has it."""
    return clip.stem.rpartition("-")[0]


def number_of(clip: Path) -> int:
    return int(name_of(clip).rpartition("-")[2])


@dataclass(frozen=True)
class Archive:
    """Four clips a patient: two of each in one cache, two in another."""

    folder: Path
    encoder: Path
    models: dict[object, Path] = field(default_factory=dict)

    def clips(self, cache: str) -> list[Path]:
        return sorted((self.folder / cache).glob("*.dcm"))

    def table(self, cache: str, patient: Callable[[Path], str] | None) -> Path:
        """A label table of a cache's clips.

        :param patient: what the table calls a clip's patient; None for a table without the column.
        """
        path = self.folder / f"{cache}.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "lines", *([] if patient is None else ["patient_id"])])
            for clip in self.clips(cache):
                row = [f"{cache}/{clip.name}", number_of(clip) % 2]
                writer.writerow(row if patient is None else [*row, patient(clip)])
        return path

    def train(self, patient: Callable[[Path], str] | None, **more: bool) -> Path:
        """A model of the left clips, trained once for each way of naming patients."""
        wanted = (patient, *more)
        if wanted not in self.models:
            out = self.folder / f"model-{len(self.models)}"
            (result,) = train_task(
                [Lines()], self.table("left", patient), self.folder / "cache-left", out, n_folds=2, n_repeats=1,
                site_key=KEY, max_near_duplicates=1.0, head="logistic", **more,
            )  # fmt: skip
            assert result.samples.n_patients == N_PATIENTS
            self.models[wanted] = out
        return self.models[wanted]

    def evaluate(
        self, model: Path, patient: Callable[[Path], str] | None, cache: str = "right", key: SiteKey = KEY, **more: bool
    ) -> EvaluationResult:
        table = self.table(cache, patient)
        return evaluate(model, table, self.folder / f"cache-{cache}", task=Lines(), site_key=key, **more)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, cut_encoder: Path) -> Archive:
    folder = tmp_path_factory.mktemp("patients")
    write_archive(folder / "all", n_patients=N_PATIENTS, clips_per_patient=4, n_frames=1, seed=3, clip_format="dicom")
    for clip in sorted((folder / "all" / "clips").glob("*.dcm")):
        side = folder / ("left" if clip.stem[-1] in "12" else "right")
        side.mkdir(exist_ok=True)
        clip.rename(side / clip.name)
    for side in ("left", "right"):
        extract([folder / side], folder / f"cache-{side}", encoder=str(cut_encoder), site_key=KEY, workers=0)
    return Archive(folder, cut_encoder)


def in_capitals_or_blank(clip: Path) -> str:
    return name_of(clip).upper() if clip.stem.endswith("1") else ""


@pytest.mark.parametrize("trained_by", [None, name_of, lambda clip: f"A{number_of(clip)}", in_capitals_or_blank])
@pytest.mark.parametrize(
    "judged_by", [None, name_of, lambda clip: f"B{number_of(clip)}", lambda clip: name_of(clip).upper()]
)
def test_training_patients_are_known_in_another_cache_whatever_the_tables_call_them(
    archive: Archive, trained_by: Callable[[Path], str] | None, judged_by: Callable[[Path], str] | None
) -> None:
    model = archive.train(trained_by)
    with pytest.raises(LeakError, match=rf"^{N_PATIENTS}\d* patients") as caught:
        archive.evaluate(model, judged_by)
    assert "synthetic" not in str(caught.value)


@pytest.mark.parametrize(
    "patient",
    [
        lambda clip: f"acc-{clip.stem}",  # an accession number in the place of the patient's
        lambda clip: "everybody",
        lambda clip: f"pair {number_of(clip) // 2}",
        lambda clip: f"acc-{clip.stem}" if number_of(clip) == 1 else "",  # one patient of many
    ],
)
def test_a_table_that_differs_from_the_files_is_refused_by_training_and_evaluation(
    archive: Archive, patient: Callable[[Path], str]
) -> None:
    model = archive.train(None)
    for refused in (archive.train, lambda table: archive.evaluate(model, table)):
        with pytest.raises(TrainingRefusedError, match=r"rows \d+ .* and \d+ .*--trust-table"):
            refused(patient)


def test_a_manifest_that_differs_from_the_files_is_refused_as_well(archive: Archive, tmp_path: Path) -> None:
    """The run's ledger keeps what the files say, beside what the manifest does."""
    table = archive.table("left", lambda clip: f"acc-{clip.stem}")
    extract([table], tmp_path / "cache", encoder=str(archive.encoder), site_key=KEY, workers=0)
    with pytest.raises(TrainingRefusedError, match="--trust-table"):
        train_task([Lines()], table, tmp_path / "cache", tmp_path / "model", n_folds=2, n_repeats=1, site_key=KEY)


def test_a_table_that_its_user_knows_to_be_right_can_be_trusted(archive: Archive) -> None:
    model = archive.train(lambda clip: f"A{number_of(clip)}", trust_table=True)
    result = archive.evaluate(model, lambda clip: f"B{number_of(clip)}", trust_table=True)
    assert result.samples.n_patients == N_PATIENTS


def test_another_site_key_is_refused_where_it_could_be_the_right_one(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = archive.train(name_of)
    with pytest.raises(SiteKeyError, match="LUSFX_SITE_KEY"):
        archive.evaluate(model, name_of, key=OTHER_KEY)
    with pytest.raises(SiteKeyError, match="LUSFX_SITE_KEY"):
        extract(archive.clips("left"), archive.folder / "cache-left", encoder=str(archive.encoder), site_key=OTHER_KEY)
    monkeypatch.setenv("LUSFX_SITE_KEY", str(tmp_path / "mistyped.key"))
    with pytest.raises(SiteKeyError, match="no site key"):
        evaluate(model, archive.table("right", name_of), archive.folder / "cache-right", task=Lines())
    assert not (tmp_path / "mistyped.key").exists()


def test_where_nothing_can_be_compared_the_result_says_so(archive: Archive, tmp_path: Path) -> None:
    """At another hospital the key is another, as it should be."""
    model = archive.train(name_of)
    extract(archive.clips("right"), tmp_path / "cache", encoder=str(archive.encoder), site_key=OTHER_KEY, workers=0)
    result = evaluate(model, archive.table("right", name_of), tmp_path / "cache", task=Lines(), site_key=OTHER_KEY)
    assert any("site keys" in warning for warning in result.warnings)
    extract(archive.clips("left"), tmp_path / "cache", encoder=str(archive.encoder), site_key=OTHER_KEY, workers=0)
    with pytest.raises(LeakError, match="clips"):  # whose they are need not be known
        evaluate(model, archive.table("left", name_of), tmp_path / "cache", task=Lines(), site_key=OTHER_KEY)


@pytest.fixture
def earlier_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Identifiers are hashed as they are written, and neither ledgers nor evidence say more than they did."""
    with monkeypatch.context() as patch:
        patch.setattr("lusfx.site_key.canonical", str.strip)
        known = TrainingResult.evidence

        def evidence(result: TrainingResult) -> dict[str, object]:
            return {name: value for name, value in known(result).items() if name not in ("pseudonyms", "site_keys")}

        patch.setattr(TrainingResult, "evidence", evidence)
        yield patch


@pytest.mark.parametrize("judged_by", [None, lambda clip: f"P {number_of(clip)}", lambda clip: f"p {number_of(clip)}"])
def test_what_an_earlier_version_made_is_still_guarded(
    archive: Archive, earlier_version: pytest.MonkeyPatch, judged_by: Callable[[Path], str] | None, tmp_path: Path
) -> None:
    """A model and a cache of identifiers as they were written: the table's are in capitals, the files' are not."""
    extract([archive.folder / "left"], tmp_path / "old", encoder=str(archive.encoder), site_key=KEY, workers=0)
    table = archive.table("left", lambda clip: "" if judged_by is None else f"P {number_of(clip)}")
    train_task(
        [Lines()], table, tmp_path / "old", tmp_path / "model", n_folds=2, n_repeats=1, site_key=KEY,
        max_near_duplicates=1.0, head="logistic",
    )  # fmt: skip
    earlier_version.undo()
    with pytest.raises(LeakError, match=rf"^{N_PATIENTS} patients"):
        archive.evaluate(tmp_path / "model", judged_by)


SPELLINGS = {
    "patient10": [
        "patient 10",
        "PATIENT\u00a010",
        "pa\u200btient10",
        "patient10\0",
        "\ufeffpatient10",
        "patient\u00ad10",
    ],
    "10": ["10.0", "0010", "1.0E+01", "'10", " 10 ", "\uff11\uff10"],
    "stra\u00dfe": ["strasse", "STRASSE"],
    "jos\u00e9": ["jose\u0301", "JOS\u00c9"],
}


@pytest.mark.parametrize(("one", "other"), [(one, way) for one, ways in SPELLINGS.items() for way in ways])
@pytest.mark.parametrize("turned", [False, True])
def test_another_spelling_is_the_same_patient_in_both_directions(
    small_archive: Callable[[str], tuple[Path, Path, SiteKey]], one: str, other: str, *, turned: bool
) -> None:
    first, second = (other, one) if turned else (one, other)
    model, cache, key = small_archive(first)
    with pytest.raises(LusfxError) as caught:
        evaluate(model, relabelled(cache.parent, second), cache, task=Lines(), site_key=key)
    assert isinstance(caught.value, LeakError)


def relabelled(folder: Path, first_patient: str) -> Path:
    """The table of the other clips, of whom the first patient is named so."""
    with (folder / "others.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    named = rows[0]["patient_id"]
    path = folder / "named.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"patient_id": first_patient} if row["patient_id"] == named else row for row in rows)
    return path


@pytest.fixture
def small_archive(tmp_path: Path) -> Callable[[str], tuple[Path, Path, SiteKey]]:
    """Trains a model on patients of whom the first is named so; other clips lie in the same cache, as ``others.csv`` names."""
    from lusfx.cache import Cache
    from lusfx.testing.small_cache import make_small_cache

    def make(first_patient: str) -> tuple[Path, Path, SiteKey]:
        seen = make_small_cache(tmp_path / "seen", Lines(), n_patients=8, clips_per_patient=1)
        others = make_small_cache(tmp_path / "others", Lines(), n_patients=4, clips_per_patient=1, first_patient=100)
        store = Cache.open(seen.cache).store(seen.store.spec)
        for key, clip in others.clips().items():
            store.write(key, clip)
        folder = seen.cache.parent
        (folder / "others.csv").write_bytes(seen.labels.read_bytes())
        labels = relabelled(folder, first_patient)
        train_task(
            [Lines()], labels, seen.cache, tmp_path / "model", n_folds=2, n_repeats=1, site_key=seen.site_key,
            head="logistic", trust_table=True,
        )  # fmt: skip
        (folder / "others.csv").write_bytes(others.labels.read_bytes())
        return tmp_path / "model", seen.cache, seen.site_key

    return make
