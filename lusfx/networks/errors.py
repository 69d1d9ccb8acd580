"""Why the training of a network ends before it is done."""

from __future__ import annotations

from lusfx.errors import LusfxError


class NetworkError(LusfxError):
    """The training of a network cannot go on, or its directory is not what was written."""


class DivergedError(NetworkError):
    """The loss became infinite or no number."""
