"""What a pretraining run says of itself: its page, and the model card of its encoder. Counts and curves, nobody's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lusfx.networks.model_card import encoder_model_card
from lusfx.pretraining.result import LINEAR, NEIGHBOURS, PretrainResult, mean_probe
from lusfx.report import Facts, Figure, Gallery, Page, Part, Section, Table, markdown_table
from lusfx.report.figures import BLUE, INK, ORANGE, as_svg, new_axes

PAPERS = {
    "simclr": "SimCLR (Chen et al. 2020, arXiv 2002.05709)",
    "barlow-twins": "Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230)",
    "vicreg": "VICReg (Bardes et al. 2022, arXiv 2105.04906)",
}
AUGMENTATION_PAPERS = {
    "byol": "BYOL's pipeline (Grill et al. 2020, arXiv 2006.07733)",
    "degraded": "the ultrasound-preserving pipeline (VanBerlo et al. 2025, arXiv 2504.07904) after lusfx's own degradation",
    "ultrasound": "the ultrasound-preserving pipeline (VanBerlo et al. 2025, arXiv 2504.07904)",
}
READINGS = {LINEAR: "linear", NEIGHBOURS: "neighbours"}
"""The probe's, in the order in which they are drawn, with what they are called in tables and legends."""
PROBE_HEADER = ("outcome", *(f"{name}, {when}" for name in READINGS.values() for when in ("before", "now")))
PROBE_READ = (
    "read by logistic regression on mean embeddings, cross-validated by patient (linear), and by the nearest neighbours of "
    "other patients (neighbours)"
)
WHERE_NONE = {"weights_sha256": "random", "normalisation": "timm's own"}
"""What a setting that is None means."""
MARKED_POINTS = 40
"""Curves of more points are drawn without a mark at each."""
LIMITS = (
    "No label was used in training, and none of these figures says how good a task model on this encoder will be: train "
    "one, and read its own report.",
    "An encoder learns the machines, probes and settings of the clips that it saw. On others it may be worse than a general "
    "one: measure before you change to it.",
    "The probe's clips may be among those that were trained on, without their labels. Its area under the curve is for "
    "comparing epochs and settings of one run with each other.",
    "The standard deviation and the rank are of embeddings of training frames.",
)


def pretraining_page(result: PretrainResult, name: str, probe: Mapping[str, Any]) -> Page:
    """The report of a run.

    :param name: of the encoder.
    :param probe: what is known of the probe's data; empty where there is no probe.
    """
    return Page(
        title=f"Pretraining of {name}",
        lead=f"{result.summary()}.",
        warnings=list(result.warnings),
        sections=[
            Section("What was learnt from", [_data_facts(result), _data_table(result, probe)]),
            Section("Curves", _curves(result)),
            Section(
                "Settings", [Table("", ("setting", "value"), [("begun with", result.beginning), *_settings(result)])]
            ),
        ],
        limits=LIMITS,
    )


def training_data(result: PretrainResult) -> str:
    """The line of ``encoder.json`` about the data."""
    data = result.data
    return f"{data['frames']} frames of {data['clips']} clips of {_patients(data)}, without labels"


def model_card(result: PretrainResult, name: str, licence: str, probe: Mapping[str, Any]) -> str:
    """``MODEL_CARD.md`` of the encoder: data, licence, method, curves, probe, limits."""
    settings, last = result.settings, result.history[-1]
    beginning = result.beginning
    if settings.weights_sha256 is not None:
        beginning += "; the licence and the data of these weights go with it"
    what = [
        f"An encoder of lung ultrasound frames: {settings.architecture} of timm, pretrained without labels by `lusfx`."
    ]
    if result.collapsed:
        what.append("**The run collapsed: this encoder says almost the same of every frame and is of no use.**")
    if not result.finished:
        what.append("**The run was not finished when this was written.**")
    return encoder_model_card(
        name,
        what,
        data=f"{training_data(result)}. Frames are grey, cut to the beam, {settings.size} px; "
        f"at most {settings.frames_per_clip} of a clip, evenly spaced.\n"
        f"Training began with {beginning}.",
        licence=f"whoever ran the training: {licence}",
        method=f"{PAPERS[settings.method]}; the two frames of a pair are at most {settings.delta_s:g} s apart in one clip, "
        "weighted by their distance (IVPP, VanBerlo et al. 2024, arXiv 2403.07715); augmented by "
        f"{AUGMENTATION_PAPERS[settings.augmentation]}.",
        settings=_settings(result),
        figures=[
            f"After epoch {result.epochs_done}, of training frames: loss {_figure(last['loss'])}, standard deviation of the "
            f"embeddings {_figure(last['std'])} (1 is evenly spread, below 0.1 collapsed), effective rank "
            f"{_figure(last['rank'])}.",
            *_probe(result, probe),
        ],
        limits=LIMITS,
    )


def _probe(result: PretrainResult, probe: Mapping[str, Any]) -> list[str]:
    if not probe:
        return []
    return [
        f"Probe, task {probe['task']}: {probe['units']} {probe['unit']}s of {probe['patients']} patients, {PROBE_READ}; area "
        "under the ROC curve before training and now:",
        markdown_table(PROBE_HEADER, _probe_rows(result.history)),
    ]


def _probe_rows(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row an outcome, under :data:`PROBE_HEADER`."""
    before, now = (record["probe"] for record in (history[0], history[-1]))
    return [
        (outcome, *(_figure(probe.get(reading, {}).get(outcome)) for reading in READINGS for probe in (before, now)))
        for outcome in now.get(LINEAR, {})
    ]


def _data_facts(result: PretrainResult) -> Facts:
    data = result.data
    return Facts(
        [
            (str(data["frames"]), "frames"),
            (str(data["clips"]), "clips"),
            (str(data["patients"]), "patients known"),
            (str(result.images), "views trained on"),
            (f"{result.images_per_s:.0f}", "views a second"),
        ]
    )


def _data_table(result: PretrainResult, probe: Mapping[str, Any]) -> Table:
    data = result.data
    rows = [("sources", str(data["sources"]))]
    rows += [(f"sources {what}", str(count)) for what, count in data["outcomes"].items()]
    rows += [
        ("clips of unknown patients", str(data["clips_of_unknown_patients"])),
        ("other files in these folders", str(data["other_files"])),
    ]
    if probe:
        rows.append(("probe", f"{probe['task']}: {probe['units']} {probe['unit']}s of {probe['patients']} patients"))
    return Table("", ("what", "number"), rows)


def _curves(result: PretrainResult) -> list[Part]:
    history = result.history
    figures = [
        Figure(
            "Loss",
            _curve(history, "loss", "loss"),
            "Mean over the epoch's batches. Losses of two methods cannot be compared.",
        ),
        Figure("Learning rate", _curve(history, "lr", "learning rate"), "Of the epoch's last step."),
        Figure(
            "Spread of the embeddings",
            _curve(history, "std", "standard deviation", level=0.1),
            "Of directions, averaged over components and scaled so that 1 is evenly spread. Below the line is collapse.",
        ),
        Figure(
            "Effective rank",
            _curve(history, "rank", "effective rank"),
            "How many directions the embeddings use. A fall towards 1 is collapse.",
        ),
    ]
    if any(record["probe"] for record in history):
        lines = {
            name: [(record["epoch"], mean_probe(record, reading)) for record in history]
            for reading, name in READINGS.items()
        }
        figures.append(
            Figure(
                "Probe",
                _curve_figure(lines, "mean area under the ROC curve", 0.5),
                f"Findings {PROBE_READ}; mean over the task's outcomes. The dotted line is chance.",
            )
        )
    parts: list[Part] = [Gallery(figures)]
    if rows := _probe_rows(history):
        parts.append(Table("Probe by outcome", PROBE_HEADER, rows))
    return parts


def _curve(history: Sequence[Mapping[str, Any]], key: str, label: str, *, level: float | None = None) -> str:
    points = [(record["epoch"], float(record[key])) for record in history if record.get(key) is not None]
    return _curve_figure({label: points}, label, level)


def _curve_figure(lines: Mapping[str, Sequence[tuple[int, float]]], label: str, level: float | None) -> str:
    """One or two curves over the epochs as SVG, in the page's own colours.

    :param lines: by name, ``(epoch, value)`` each.
    :param level: a value that is drawn as a dotted line: a limit, or what chance gives.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_axes((4, 3), "epoch", label)
    for (name, points), colour, line in zip(lines.items(), (BLUE, ORANGE), ("-", "--"), strict=False):
        marker = "o" if len(points) <= MARKED_POINTS else None
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.plot(xs, ys, line, marker=marker, color=colour, linewidth=1.5, markersize=3, label=name)
    if len(lines) > 1:
        axes.legend(frameon=False, labelcolor=INK)
    if level is not None:
        axes.axhline(level, color=INK, linewidth=0.8, linestyle=":")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return as_svg(figure, f"{label} by epoch")


def _settings(result: PretrainResult) -> list[tuple[str, str]]:
    settings = result.settings.model_dump(mode="json")
    return [
        (name.replace("_", "-"), WHERE_NONE.get(name, "none") if value is None else str(value))
        for name, value in settings.items()
    ]


def _patients(data: Mapping[str, Any]) -> str:
    unknown = data["clips_of_unknown_patients"]
    known = f"{data['patients']} patients"
    return f"{known} ({unknown} clips of unknown patients)" if unknown else known


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
