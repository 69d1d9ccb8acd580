"""What a benchmark was run on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.request import Request
from lusfx.cores import available_cores
from lusfx.version import __version__

PACKAGES = (
    "numpy", "onnxruntime", "openvino", "torch", "timm", "onnx", "h5py", "av", "pillow", "pydicom", "scikit-learn", "lightgbm",
)  # fmt: skip


def machine(request: Request) -> dict[str, Any]:
    """Facts for a result: processor, system, versions, threads, and how busy the machine was before the benchmark began."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "lusfx": __version__,
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "device": request.device,
        "gpu": _gpu() if request.device == "cuda" else None,
        "threads": request.threads or available_cores(),
        "load_before": _load(),
    }


def _load() -> float | None:
    """Processes that wanted to compute during the minute before; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str:
    import torch

    return str(torch.cuda.get_device_name())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
