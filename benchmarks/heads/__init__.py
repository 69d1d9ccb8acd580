"""Heads: how long each takes to train, and how fast it answers, against the classes that scikit-learn and LightGBM offer."""

from benchmarks.heads.measurement import measure
from benchmarks.heads.section import section, summary

__all__ = ["measure", "section", "summary"]
