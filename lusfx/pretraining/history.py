"""How a pretraining went, epoch by epoch."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
"""``epoch``, ``loss`` (None before the first), ``lr``, ``std``, ``rank``, ``collapsed`` and ``probe`` (by reading and
outcome)."""
