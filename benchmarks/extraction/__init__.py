"""Extraction: the product's pipeline against the plain loop that most code for ultrasound is, and against its own parts."""

from benchmarks.extraction.measurement import measure
from benchmarks.extraction.section import section, summary

__all__ = ["measure", "section", "summary"]
