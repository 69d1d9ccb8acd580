"""Who comes with what: a patient's machine and chest wall, a disease, and what of it each zone shows.

The look (machine, transducer, settings, wall) is drawn from another stream of random numbers than the disease, so that within a
site no look tells a label. What diseases show where follows Lichtenstein and Meziere 2008 (doi 10.1378/chest.07-2800): the
BLUES points 1 and 2 are anterior, point 3 is posterolateral, where the diaphragm is met and fluid collects. Severity is the
score of Soldati et al. 2020 (doi 10.1002/jum.15285).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lusfx.synth.conditions import draw_conditions
from lusfx.synth.device import DEVICES, Device
from lusfx.synth.findings import Findings, View
from lusfx.synth.geometry import ProbeKind, beam_size_mm
from lusfx.synth.simulation import PatientLook
from lusfx.synth.site import Disease, Site
from lusfx.synth.varied_device import CLEAR_MACHINES, HARD_MACHINES, draw_device
from lusfx.synth.wall import Habitus

MOST_OVERFLOW = 0.5
"""Share of the beam's width that a picture's sides cut off at most."""
ZONE_ORDERS = (("R1", "R2", "R3", "L1", "L2", "L3"), ("L1", "L2", "L3", "R1", "R2", "R3"))
"""Clips of an exam in this order; every other patient begins on the left."""
PLEURAL_VIEW_AT_3 = 0.9
"""Share of clips at the posterolateral points that show the diaphragm; the others show lung only."""
GOLDEN = (np.sqrt(5) - 1) / 2
B_LINES_OF_SEVERITY = {0: (0, 1), 1: (1, 3), 2: (3, 6), 3: (7, 12)}
"""Fewest B-lines, and one more than most."""
SEVERITIES: dict[Disease, tuple[float, float, float, float]] = {
    "healthy": (1.0, 0.0, 0.0, 0.0),
    "interstitial-mild": (0.15, 0.60, 0.25, 0.0),
    "interstitial-severe": (0.0, 0.05, 0.30, 0.65),
    "heart-failure": (0.0, 0.15, 0.40, 0.45),
    "effusion": (0.60, 0.30, 0.10, 0.0),
    "pneumonia": (0.40, 0.35, 0.15, 0.10),
    "pneumothorax": (1.0, 0.0, 0.0, 0.0),
}
"""Share of a patient's zones with each severity, where nothing worse is drawn."""
Side = Literal["L", "R", "both"]


@dataclass(frozen=True, slots=True)
class Case:
    """A patient's disease.

    :param side: where it is, of diseases that have a side.
    """

    disease: Disease
    side: Side


@dataclass(frozen=True, slots=True)
class ZoneFindings:
    """What one clip shows, with the labels that its picture alone does not settle.

    :param severity: 0 to 3; None where the score is not defined: pneumothorax, and lung beside or in fluid.
    """

    zone: str
    findings: Findings
    severity: int | None


def draw_look(site: Site, generator: np.random.Generator) -> PatientLook:
    """The patient's machine, settings and wall."""
    device = _draw_machine(site, generator)
    probe: ProbeKind = str(generator.choice(list(site.probes), p=list(site.probes.values())))  # type: ignore[assignment]
    depth = generator.uniform(*(site.linear_depth_mm if probe == "linear" else site.depth_mm))
    look = PatientLook(
        device=device,
        probe=probe,
        depth_mm=5.0 * round(depth / 5),  # machines offer steps
        gain_db=float(generator.uniform(*site.gain_db)),
        attenuation_db_mm=float(generator.uniform(*site.attenuation_db_mm)),
        habitus=Habitus(
            wall_mm=float(generator.uniform(*site.wall_mm)),
            fat_share=float(generator.uniform(0.2, 0.6)),
            n_fascia=int(generator.integers(2, 6)),
            echo_db=float(generator.uniform(-45, -36)),
            texture_db=float(generator.uniform(2, 4.5)),
            bend=float(generator.uniform(0.1, 0.7)),
            seed=int(generator.integers(1 << 31)),
        ),
    )
    return _harder(look, generator) if site.hard else look


def _harder(look: PatientLook, generator: np.random.Generator) -> PatientLook:
    """The look under conditions drawn from wide ranges, through a wall of finer, torn layers."""
    torn, fineness = float(generator.uniform(0.1, 0.75)), float(generator.uniform(0.2, 0.8))
    n_fascia = int(generator.integers(4, 16))
    texture_db = float(generator.uniform(2, 7))
    echo_db = float(generator.uniform(-43, -27))
    habitus = replace(
        look.habitus, torn=torn, fineness=fineness, n_fascia=n_fascia, texture_db=texture_db, echo_db=echo_db
    )
    return replace(look, device=_filled(look, generator), habitus=habitus, conditions=draw_conditions(generator))


def _filled(look: PatientLook, generator: np.random.Generator) -> Device:
    """The machine with sides cut off until the beam fills its room, as on most machines; else as it was drawn."""
    device = look.device
    if generator.random() < 0.25:
        return device
    placement = device.placement
    room = (placement.x1 - placement.x0) / (placement.y1 - placement.y0)
    width_mm, height_mm = beam_size_mm(look.transducer, look.depth_mm, placement.face_cut)
    overflow = float(np.clip(1 - room * height_mm / width_mm, 0, MOST_OVERFLOW))
    return replace(device, placement=replace(placement, overflow=overflow))


def _draw_machine(site: Site, generator: np.random.Generator) -> Device:
    if not site.devices:
        return draw_device(generator, HARD_MACHINES if site.hard else CLEAR_MACHINES)
    return DEVICES[str(generator.choice(list(site.devices), p=list(site.devices.values())))]


def draw_case(site: Site, patient: int, seed: int, generator: np.random.Generator) -> Case:
    """The disease of a patient.

    Of patients with numbers that follow one another, the diseases are as evenly mixed as their shares allow (by the golden
    ratio's multiples), so that a small archive holds nearly all of them.
    """
    start = np.random.default_rng([seed, *site.drawn_as.encode()]).random()
    quantile = (start + patient * GOLDEN) % 1
    shares = np.cumsum(list(site.diseases.values()))
    number = min(int(np.searchsorted(shares, quantile * shares[-1], side="right")), len(shares) - 1)
    disease = list(site.diseases)[number]
    one_side: Side = "R" if generator.random() < 0.5 else "L"
    both = disease in {"healthy", "interstitial-mild", "interstitial-severe", "heart-failure"}
    if disease == "effusion":
        both = bool(generator.random() < 0.7)
    return Case(disease, "both" if both else one_side)


def zone_of(patient: int, number: int) -> str:
    """The zone of a patient's clip, counted from 0; after six the exam is done, and another begins."""
    order = ZONE_ORDERS[patient % 2]
    return order[number % len(order)]


def draw_finding(case: Case, zone: str, generator: np.random.Generator) -> ZoneFindings:
    """What a zone of the patient shows."""
    view: View = "pleural" if zone.endswith("3") and generator.random() < PLEURAL_VIEW_AT_3 else "parenchymal"
    affected = case.side in {zone[0], "both"}
    severity = int(generator.choice(4, p=SEVERITIES[case.disease]))
    if affected and case.disease == "pneumothorax" and not zone.endswith("3"):
        return ZoneFindings(zone, Findings(a_lines=int(generator.integers(2, 5)), sliding=False), None)
    if affected and case.disease == "pneumonia" and generator.random() < (0.75 if zone.endswith("3") else 0.5):
        return ZoneFindings(zone, _consolidated(view, zone, generator), 3)
    fluid = {"effusion": 0.95, "heart-failure": 0.6, "pneumonia": 0.3}.get(case.disease, 0.0)
    if affected and view == "pleural" and generator.random() < fluid:
        return ZoneFindings(zone, _with_fluid(case, zone, severity, generator), None)
    return ZoneFindings(zone, _lung(view, zone, severity, generator), severity)


def _organ(zone: str) -> Literal["liver", "spleen"]:
    return "liver" if zone.startswith("R") else "spleen"


def _lung(view: View, zone: str, severity: int, generator: np.random.Generator) -> Findings:
    """Lung of a severity: A-lines give way to B-lines, the pleural line becomes irregular."""
    has_a_lines = generator.random() < (0.92, 0.75, 0.15, 0.0)[severity]
    still = severity == 3 and generator.random() < 0.15
    return Findings(
        view=view,
        a_lines=int(generator.integers(1, 5)) if has_a_lines else 0,
        b_lines=int(generator.integers(*B_LINES_OF_SEVERITY[severity])),
        b_line_mm=float(generator.uniform(5.0, 9.0) if severity == 3 else generator.uniform(1.4, 3.0)),
        irregularity=float(np.clip(generator.uniform(0, 0.15) + (0, 0.15, 0.4, 0.65)[severity], 0, 1)),
        sliding=not still,
        pulse=still,
        organ=_organ(zone),
    )


def _consolidated(view: View, zone: str, generator: np.random.Generator) -> Findings:
    sliding = bool(generator.random() < 0.6)
    return Findings(
        view=view,
        b_lines=int(generator.integers(0, 3)),
        irregularity=float(generator.uniform(0.4, 0.9)),
        sliding=sliding,
        pulse=not sliding,
        consolidation_mm=float(generator.uniform(14, 42)),
        organ=_organ(zone),
    )


def _with_fluid(case: Case, zone: str, severity: int, generator: np.random.Generator) -> Findings:
    """Small, moderate or large effusion; large ones press the air out of the lung."""
    thickness = float(
        generator.choice([generator.uniform(8, 16), generator.uniform(16, 35), generator.uniform(35, 60)])
    )
    if case.disease == "heart-failure":
        thickness = min(thickness, float(generator.uniform(8, 30)))
    floating = bool(generator.random() < (0.0 if thickness < 16 else 0.5 if thickness < 35 else 0.9))
    return Findings(
        view="pleural",
        b_lines=0 if floating else int(generator.integers(*B_LINES_OF_SEVERITY[severity])),
        b_line_mm=3.0,
        irregularity=float(generator.uniform(0, 0.3)),
        effusion_mm=thickness,
        atelectasis=floating,
        organ=_organ(zone),
    )
