"""Conformance of a reader."""

from lusfx.testing.conformance import Conformance


class ReaderConformance(Conformance):
    """Checks."""
