"""lusfx: encode a lung-ultrasound exam once, and answer every question from the cached features.

The commands are functions, too: :func:`extract`, :func:`train_task`, :func:`score`, :func:`evaluate`,
:func:`recalibrate`, :func:`export`, :func:`import_encoder`, :func:`pretrain`, :func:`fine_tune`, :func:`study`,
:func:`run_demo`. :func:`load_features` gives a cache's features as arrays.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lusfx import telemetry
from lusfx.version import __version__

telemetry.turn_off()  # here, since it must come before any import of the libraries that it is about

__all__ = [
    "__version__",
    "evaluate",
    "export",
    "extract",
    "fine_tune",
    "import_encoder",
    "load_features",
    "pretrain",
    "recalibrate",
    "run_demo",
    "score",
    "study",
    "train_task",
]

if TYPE_CHECKING:
    from lusfx.demo import run_demo
    from lusfx.engine.encoder_import import import_encoder
    from lusfx.engine.evaluation.evaluate import evaluate
    from lusfx.engine.evaluation.recalibrate import recalibrate
    from lusfx.engine.export import export, load_features
    from lusfx.engine.extraction.extract import extract
    from lusfx.engine.scoring.score import score
    from lusfx.engine.training.train import train_task
    from lusfx.fine_tuning.run import fine_tune
    from lusfx.pretraining.run import pretrain
    from lusfx.studies import study

FUNCTIONS = {
    "extract": "lusfx.engine.extraction.extract",
    "train_task": "lusfx.engine.training.train",
    "score": "lusfx.engine.scoring.score",
    "evaluate": "lusfx.engine.evaluation.evaluate",
    "recalibrate": "lusfx.engine.evaluation.recalibrate",
    "export": "lusfx.engine.export",
    "load_features": "lusfx.engine.export",
    "pretrain": "lusfx.pretraining.run",
    "fine_tune": "lusfx.fine_tuning.run",
    "import_encoder": "lusfx.engine.encoder_import",
    "study": "lusfx.studies",
    "run_demo": "lusfx.demo",
}
"""The module of each function; imported when first used, since they bring numpy and h5py."""


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'lusfx' has no attribute '{name}'")
    return getattr(importlib.import_module(FUNCTIONS[name]), name)
