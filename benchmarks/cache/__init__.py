"""The cache: whole archives from packs against a memory map and files a clip, runs that find nothing to do, and writing."""

from benchmarks.cache.measurement import measure
from benchmarks.cache.section import section, summary

__all__ = ["measure", "section", "summary"]
