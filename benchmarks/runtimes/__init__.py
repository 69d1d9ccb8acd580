"""Runtimes and precisions: how fast each computes an encoder, at every batch size, and how far bfloat16 moves embeddings."""

from benchmarks.runtimes.measurement import measure
from benchmarks.runtimes.section import section, summary

__all__ = ["measure", "section", "summary"]
