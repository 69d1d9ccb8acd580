"""lusfx: encode a lung-ultrasound exam once, and answer every question from the cached features.

The commands are functions, too: :func:`extract`, :func:`train_task`, :func:`score`, :func:`evaluate`, :func:`pretrain`,
:func:`fine_tune`, :func:`study`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lusfx.version import __version__

__all__ = ["__version__", "evaluate", "extract", "fine_tune", "pretrain", "score", "study", "train_task"]

if TYPE_CHECKING:
    from lusfx.engine.evaluate import evaluate
    from lusfx.engine.extract import extract
    from lusfx.engine.fine_tune.run import fine_tune
    from lusfx.engine.pretrain.run import pretrain
    from lusfx.engine.score import score
    from lusfx.engine.study import study
    from lusfx.engine.train import train_task

FUNCTIONS = {
    "extract": "extract",
    "train_task": "train",
    "score": "score",
    "evaluate": "evaluate",
    "pretrain": "pretrain",
    "fine_tune": "fine_tune",
    "study": "study",
}
"""Where each function lives in ``lusfx.engine``; imported when first used, since they bring numpy and h5py."""


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'lusfx' has no attribute '{name}'")
    return getattr(importlib.import_module(f"lusfx.engine.{FUNCTIONS[name]}"), name)
