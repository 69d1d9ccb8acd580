"""Inference: one encoder and T heads against T separate networks, and scoring from the cache against encoding again.

VanBerlo, Li, Hoey and Wong 2023 (doi 10.1109/ACCESS.2023.3337398) compared compact classifiers on one pretrained
encoder with separate fine-tuned networks that run one after the other, and report that inference took 49% less time.
"""

from benchmarks.inference.measurement import measure
from benchmarks.inference.section import section, summary

__all__ = ["measure", "section", "summary"]
