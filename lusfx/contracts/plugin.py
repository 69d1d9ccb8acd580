"""Plugin: what is known of one, and the version of the contracts that it must have been written for."""

from __future__ import annotations

from dataclasses import dataclass, field

API_VERSION = 2
"""Raised when a contract changes so that old plugins break. A plugin's module states the one it was written for as
``LUSFX_API_VERSION``."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What is known of one loaded or failed plugin.

    :param name: entry point or module name.
    :param distribution: the installed distribution it comes from, with its version.
    :param error: why it could not be used; None where it works.
    :param provides: ``kind: name`` of all that it registered.
    """

    name: str
    distribution: str
    error: str | None = None
    provides: tuple[str, ...] = field(default=())
