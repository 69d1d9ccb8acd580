"""Do a study: every encoder in every way on every task from every label fraction, resumable, and its tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lusfx.cache import Cache
from lusfx.contracts import Device
from lusfx.durable import TEMPORARY_PREFIX, make_directory
from lusfx.engine.extraction.extract import Progress
from lusfx.errors import RunInterruptedError, UsageError
from lusfx.messages import are, counted, verb
from lusfx.networks.decoded_frames import DecodingProgress
from lusfx.networks.files import LOCK_FILE, held_alone
from lusfx.networks.processes import processes
from lusfx.networks.threads import cpu_threads
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey
from lusfx.studies.cells import cells_of
from lusfx.studies.choice import choose
from lusfx.studies.config import StudyConfig, checked_config, read_config
from lusfx.studies.costs import cost_rows
from lusfx.studies.figures import study_rows
from lusfx.studies.material import Material
from lusfx.studies.outputs import write_outputs
from lusfx.studies.plan import StudyPlan
from lusfx.studies.record import STUDY, write_record
from lusfx.studies.result import StudyResult
from lusfx.studies.run_store import RunStore, remove_temporaries
from lusfx.studies.workers import do_jobs

CACHE = "cache"
BEGUN = {CACHE, LOCK_FILE}
"""What a study that was refused at once leaves behind."""


@dataclass(frozen=True, slots=True)
class RunsDone:
    """How far the trainings are.

    :param done: runs whose scores are kept, of so many in all.
    """

    done: int
    of: int


StudyListener = Callable[[Progress | DecodingProgress | RunsDone], None]
"""Called with the progress of a study: of its encoding, its decoding and its trainings."""


def study(
    config: Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    cache: Path | str | None = None,
    workers: int = 1,
    minutes: float | None = None,
    device: Device = "auto",
    threads: int = 0,
    site_key: SiteKey | Path | str | None = None,
    progress: StudyListener | None = None,
    stop: threading.Event | None = None,
) -> StudyResult:
    """Compare encoders and ways of learning on labelled data, as VanBerlo et al. 2023 do; what is there is not done again.

    :param config: the study's file, or what would stand in it; paths are relative to its folder, or to the current one.
    :param out: directory of the study: absent, empty, or a study, which goes on.
    :param cache: cache directory; ``OUT/cache`` if none is given.
    :param workers: processes that fit heads and, on the CPU, train networks; one thread each if there are several.
    :param minutes: begin no run after so long, and make the tables of what there is.
    :param device: for encoding and fine-tuning; ``threads`` likewise.
    :param progress: called now and then, on the caller's thread.
    :param stop: set it to end the run early, without tables. It is set, too, when the minutes are over.
    :raises UsageError: if the config makes no sense.
    :raises TrainingRefusedError, TableError, LeakError: where no result could be trusted.
    :raises RunInterruptedError: if the run was stopped; the same call goes on.
    """
    if workers < 1:
        raise UsageError("a study needs one worker at least")
    settled = checked_config(config, Path.cwd()) if isinstance(config, Mapping) else read_config(Path(config))
    place, stop = Path(out), stop or threading.Event()
    report = progress or (lambda _progress: None)
    registry, key = load_registry(), SiteKey.of(site_key)
    begin_directory(place)
    with held_alone(place), _time_limit(minutes, stop) as over:
        remove_temporaries(place, TEMPORARY_PREFIX)
        opened = Cache.open(place / CACHE if cache is None else Path(cache), create=True)

        def report_decoding(done: int, of: int) -> None:
            report(DecodingProgress(done, of))

        material = Material.open(settled, place, opened, registry, key, device, threads, report_decoding, stop)
        return _Study(
            material=material,
            out=place,
            kept=RunStore(place),
            workers=workers,
            device=device,
            threads=threads,
            progress=report,
            stop=stop,
            over=over,
        ).do()


def begin_directory(out: Path) -> None:
    """Make the study's directory.

    :raises UsageError: if something else is in it.
    """
    begun = out.is_dir() and ((out / STUDY).exists() or {path.name for path in out.iterdir()} <= BEGUN)
    if out.exists() and not begun:
        raise UsageError("--out is neither absent nor empty nor a study: name another directory")
    try:
        make_directory(out.absolute())
    except OSError as error:
        raise UsageError(f"--out cannot be made: {error.strerror}") from None


@contextmanager
def _time_limit(minutes: float | None, stop: threading.Event) -> Iterator[threading.Event]:
    """Set ``stop`` after so many minutes; the event that is yielded says that this is why."""
    over = threading.Event()

    def end() -> None:
        if not stop.is_set():
            over.set()
            stop.set()

    timer = None if minutes is None else threading.Timer(60 * minutes, end)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield over
    finally:
        if timer is not None:
            timer.cancel()


@dataclass(slots=True)
class _Study:
    """A call of :func:`study`, opened."""

    material: Material
    out: Path
    kept: RunStore
    workers: int
    device: Device
    threads: int
    progress: StudyListener
    stop: threading.Event
    over: threading.Event
    warnings: list[str] = field(default_factory=list)

    @property
    def config(self) -> StudyConfig:
        return self.material.config

    def do(self) -> StudyResult:
        write_record(self.out, self.config)
        for extraction in self.material.extract(self.progress, self.stop):
            if extraction.interrupted:
                raise RunInterruptedError("stopped while clips were encoded: the same command goes on")
            n_bad = extraction.counts["failed"] + extraction.counts["skipped"]
            if n_bad:
                self.warnings.append(
                    f"{extraction.encoder}: {counted(n_bad, 'clip')} could not be encoded, and {are(n_bad)} left out of all"
                )
        plan = self.material.plan()
        n_found, n_done = self._train(plan)
        if self.stop.is_set() and not self.over.is_set():
            raise RunInterruptedError(
                f"stopped: the scores of {n_done} of {len(plan.runs)} runs are kept, and the same command goes on"
            )
        found = self.kept.read_all(plan.runs)
        choices = choose(plan, found)
        cells, n_missing = cells_of(plan, [*plan.runs, *choices.runs], found)
        if n_missing:
            self.warnings.append(
                f"{counted(n_missing, 'cell')} of the table {are(n_missing)} not there yet: the same command goes on"
            )
        refused = sorted({cell.refused for cell in cells.values() if cell.refused is not None})
        n_refused = sum(cell.n_refused for cell in cells.values())
        self.warnings += [
            f"{counted(n_refused, 'draw')} {verb(n_refused, 'was', 'were')} left out, as a training was refused: {why}"
            for why in refused[:1]
        ]
        n_unheld = sum(not chosen.by_merit for chosen in choices.made)
        if n_unheld:
            self.warnings.append(
                f"{n_unheld} of {len(choices.made)} choices could be made by no merit, as too few patients are there to hold "
                "any out: the first candidate was taken"
            )
        rows = study_rows(cells, self.config)
        result = StudyResult(
            plan=plan,
            out=self.out,
            rows=rows,
            n_runs=len(plan.runs),
            n_done=n_done,
            n_new=n_done - n_found,
            n_cells_missing=n_missing,
            warnings=list(self.warnings),
            choices=choices,
            costs=cost_rows(rows, cells, choices, self.config),
        )
        write_record(self.out, self.config, self.material, plan, choices)
        write_outputs(result)
        return result

    def _train(self, plan: StudyPlan) -> tuple[int, int]:
        """Do what is not there; returns how many runs were, and how many are now."""
        there = {run.digest for run in plan.runs if run in self.kept}
        missing = [run for run in plan.runs if run.digest not in there]
        self.progress(RunsDone(len(plan.runs) - len(missing), len(plan.runs)))
        n_distinct_done = 0

        def count_done(n_done: int) -> None:
            nonlocal n_distinct_done
            n_distinct_done += n_done
            self.progress(RunsDone(len(plan.runs) - len(missing) + n_distinct_done, len(plan.runs)))

        do_jobs(self.material.head_jobs(plan, missing, self.kept), self.workers, self.stop, count_done)
        ways = {tuning.way.name for tuning in self.material.tuning_plans}
        if any(run.way in ways for run in missing) and not self.stop.is_set():
            with processes(self.device) as among, cpu_threads(self.threads):
                n_workers = self.workers if among.device.type == "cpu" else 1
                jobs = self.material.tuning_jobs(plan, missing, self.kept, among.device)
                do_jobs(jobs, n_workers, self.stop, count_done)
        n_left = sum(run not in self.kept for run in missing)
        return len(plan.runs) - len(missing), len(plan.runs) - n_left
