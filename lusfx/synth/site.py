"""Hospitals: which machines and patients they have, and how often each disease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from lusfx.errors import UsageError

Disease = Literal[
    "healthy", "interstitial-mild", "interstitial-severe", "heart-failure", "effusion", "pneumonia", "pneumothorax"
]


@dataclass(frozen=True, slots=True)
class Site:
    """A hospital.

    :param devices: share of patients examined with each machine, or none where every patient has another; ``probes`` with each
        kind of transducer.
    :param diseases: share of patients with each.
    :param wall_mm: smallest and greatest depth of the pleural line; the other ranges likewise.
    :param hard: whether examinations are as hard to read as patients' are (:mod:`lusfx.synth.conditions`).
    :param like: name of the site whose random numbers it shares; blank for its own.
    :param depth_mm: depth shown with convex and phased arrays; ``linear_depth_mm`` with linear ones.
    """

    name: str
    devices: Mapping[str, float]
    probes: Mapping[str, float]
    diseases: Mapping[Disease, float]
    wall_mm: tuple[float, float]
    depth_mm: tuple[float, float]
    linear_depth_mm: tuple[float, float]
    gain_db: tuple[float, float]
    attenuation_db_mm: tuple[float, float]
    hard: bool = False
    like: str = ""

    @property
    def drawn_as(self) -> str:
        """Whose random numbers its patients are drawn with: two sites of the same ones have the same diseases."""
        return self.like or self.name


_VARIED = Site(
    name="varied",
    devices={},
    probes={"convex": 0.72, "linear": 0.14, "phased": 0.14},
    diseases={
        "healthy": 0.20,
        "interstitial-mild": 0.12,
        "interstitial-severe": 0.26,
        "heart-failure": 0.12,
        "effusion": 0.16,
        "pneumonia": 0.10,
        "pneumothorax": 0.04,
    },
    wall_mm=(9, 30),
    depth_mm=(80, 190),
    linear_depth_mm=(30, 65),
    gain_db=(-9, 4),
    attenuation_db_mm=(0.0, 0.14),
    hard=True,
)

SITES: Mapping[str, Site] = MappingProxyType(
    {
        site.name: site
        for site in (
            Site(
                name="local",
                devices={"synthetic-cart": 0.65, "synthetic-portable": 0.35},
                probes={"convex": 0.90, "linear": 0.04, "phased": 0.06},
                diseases={
                    "healthy": 0.20,
                    "interstitial-mild": 0.12,
                    "interstitial-severe": 0.26,
                    "heart-failure": 0.12,
                    "effusion": 0.16,
                    "pneumonia": 0.10,
                    "pneumothorax": 0.04,
                },
                wall_mm=(14, 27),
                depth_mm=(80, 120),
                linear_depth_mm=(58, 72),
                gain_db=(-3, 4),
                attenuation_db_mm=(0.0, 0.08),
            ),
            Site(
                name="external",
                devices={"synthetic-handheld": 0.6, "synthetic-console": 0.4},
                probes={"convex": 0.70, "linear": 0.05, "phased": 0.25},
                diseases={
                    "healthy": 0.15,
                    "interstitial-mild": 0.15,
                    "interstitial-severe": 0.20,
                    "heart-failure": 0.15,
                    "effusion": 0.20,
                    "pneumonia": 0.12,
                    "pneumothorax": 0.03,
                },
                wall_mm=(17, 32),
                depth_mm=(90, 150),
                linear_depth_mm=(66, 80),
                gain_db=(-4, 5),
                attenuation_db_mm=(0.02, 0.12),
            ),
            _VARIED,
            replace(
                _VARIED,
                name="varied-clear",
                wall_mm=(10, 30),
                depth_mm=(65, 165),
                linear_depth_mm=(45, 85),
                gain_db=(-7, 8),
                hard=False,
                like="varied",
            ),
        )
    }
)
"""The sites by name. The external one differs from the local one in all that real hospitals differ in, so that a model that
was trained at one and is tried at the other meets other pictures and another case mix. The varied one is no hospital: each
patient has a machine of its own, and all ranges are wide. The clear one is what lung-lite0 was trained on: machines of the same
kind, and nothing that makes pictures hard to read."""


def site_named(name: str) -> Site:
    """A site.

    :raises UsageError: if there is none of that name.
    """
    if name not in SITES:
        raise UsageError(f"there is no synthetic site '{name}'; there are: {', '.join(SITES)}")
    return SITES[name]
