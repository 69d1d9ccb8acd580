"""Libraries that report to their makers are told not to, before any of them is imported.

Importing one is enough for a report: ONNX Runtime, from 1.32 on at least, begins to collect when it is imported, whatever it is
told afterwards; it leaves a lasting number of the device in ``~/.cache/Microsoft``, and asks for a host after some seconds.
So ``import lusfx`` calls :func:`turn_off`, and nothing of lusfx imports such a library before. Processes that are started from
this one inherit the variables, and those that run lusfx set them again, whatever environment they are given.

A library that was imported before lusfx has begun already, and nothing here stops it.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

VARIABLES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime
    "HF_HUB_DISABLE_TELEMETRY": "1",  # Hugging Face's hub, for timm: what a download says of this machine
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",  # https://donottrack.sh: whoever else asks
}
PACKAGES: Final = ("openvino_telemetry",)
"""Packages whose only purpose is reporting. OpenVINO reports each import of itself where it finds this one, asks no variable,
and works without it."""


def turn_off() -> None:
    """Set the variables, over what the user may have set, and make the packages impossible to import.

    lusfx promises that it opens no connection: a variable that allows one is for other programs.
    """
    os.environ.update(VARIABLES)
    modules: dict[str, Any] = sys.modules  # None in it: importing that one is an ImportError
    for package in PACKAGES:
        modules.setdefault(package, None)
