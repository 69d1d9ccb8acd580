"""``head.safetensors``: the arrays of a head, read back with every name, type, shape and value checked.

The file's metadata hold one entry, ``lusfx-head``: the head's name and the version of its layout, ``mlp/1`` say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import TaskModelError

TENSOR_FILE = "head.safetensors"
METADATA_KEY = "lusfx-head"
MAX_FILE_BYTES = 1 << 29


def write_tensors(directory: Path, layout: str, tensors: Mapping[str, NDArray[np.float64]]) -> None:
    """Write the head's arrays.

    :param layout: name and version, ``mlp/1`` say.
    """
    from safetensors.numpy import save_file

    # save_file stores the memory as it lies, so that an array in column order would come back transposed.
    arrays = {name: np.ascontiguousarray(array, dtype="<f8") for name, array in tensors.items()}
    save_file(arrays, directory / TENSOR_FILE, metadata={METADATA_KEY: layout})


def read_tensors(directory: Path, layout: str, dimensions: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
    """Read the head's arrays.

    :param layout: what the file must say it is.
    :param dimensions: the number of axes of each array that there must be; no other may be there.
    :raises TaskModelError: if the file is missing, damaged or another one, or holds a value that is not finite.
    """
    from safetensors import SafetensorError

    path = directory / TENSOR_FILE
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TaskModelError(f"{TENSOR_FILE} is larger than any head's ({path.stat().st_size} bytes)")
        return _read(path, layout, dimensions)
    except FileNotFoundError:
        raise TaskModelError(f"{TENSOR_FILE} is missing") from None
    except (SafetensorError, OSError, ValueError, UnicodeError) as error:
        raise TaskModelError(f"{TENSOR_FILE} is not a valid safetensors file ({type(error).__name__})") from None


def _read(path: Path, layout: str, dimensions: Mapping[str, int]) -> dict[str, NDArray[np.float64]]:
    from safetensors import safe_open

    tensors: dict[str, NDArray[np.float64]] = {}
    with safe_open(path, framework="numpy") as file:
        found = (file.metadata() or {}).get(METADATA_KEY)
        if found != layout:
            raise TaskModelError(f"{TENSOR_FILE} says that it holds {str(found)[:40]!r}, not '{layout}'")
        if set(file.keys()) != set(dimensions):
            raise TaskModelError(f"{TENSOR_FILE} must hold the arrays {', '.join(sorted(dimensions))} and no others")
        for name, n_axes in dimensions.items():
            tensors[name] = _checked(file, name, n_axes)
    return tensors


def _checked(file: Any, name: str, n_axes: int) -> NDArray[np.float64]:
    stored = file.get_slice(name)
    shape = stored.get_shape()
    if stored.get_dtype() != "F64" or len(shape) != n_axes or 0 in shape:
        raise TaskModelError(f"{TENSOR_FILE}: the array '{name}' must be of float64 with {n_axes} axes, none empty")
    tensor: NDArray[np.float64] = file.get_tensor(name)
    if not np.isfinite(tensor).all():
        raise TaskModelError(f"{TENSOR_FILE}: the array '{name}' holds a value that is not finite")
    return tensor


def require_shapes(tensors: Mapping[str, NDArray[np.float64]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse arrays that do not fit each other.

    :raises TaskModelError: naming the first that does not.
    """
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise TaskModelError(f"{TENSOR_FILE}: the array '{name}' has shape {tensors[name].shape}, not {shape}")
