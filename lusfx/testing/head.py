"""Conformance of a head."""

from lusfx.testing.conformance import Conformance


class HeadConformance(Conformance):
    """Checks."""
