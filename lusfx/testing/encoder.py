"""Conformance of a encoder."""

from lusfx.testing.conformance import Conformance


class EncoderConformance(Conformance):
    """Checks."""
