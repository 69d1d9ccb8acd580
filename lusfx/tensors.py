"""Named float64 arrays as one safetensors image, read back with every name, type, shape and value checked.

The image's metadata hold one entry, ``lusfx``: what it is and the version of its layout, ``mlp/3`` say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import TaskModelError

METADATA_KEY = "lusfx"
HEADER_LENGTH_BYTES = 8
MAX_HEADER_BYTES = 1 << 16
"""Of the description of all arrays, which the parser builds whole: no image has more than some dozen."""


def tensors_to_bytes(layout: str, tensors: Mapping[str, NDArray[np.float64]]) -> bytes:
    """Write arrays.

    :param layout: name and version, ``mlp/3`` say.
    """
    from safetensors.numpy import save

    # save stores the memory as it lies, so that an array in column order would come back transposed.
    arrays = {name: np.ascontiguousarray(array, dtype="<f8") for name, array in tensors.items()}
    content: bytes = save(arrays, metadata={METADATA_KEY: layout})
    return content


def tensors_from_bytes(
    content: bytes, layout: str, dimensions: Mapping[str, int], file_name: str
) -> dict[str, NDArray[np.float64]]:
    """Read arrays.

    :param layout: what the image must say it is.
    :param dimensions: the number of axes of each array that there must be; no other may be there.
    :param file_name: for messages.
    :raises TaskModelError: if the image is damaged or another one, or holds a value that is not finite.
    """
    found, stated = _taken_apart(content, file_name)
    if stated != layout:
        kind = layout.partition("/")[0]
        if isinstance(stated, str) and re.fullmatch(rf"{re.escape(kind)}/[0-9]{{1,4}}", stated):
            raise TaskModelError(
                f"{file_name} is of another version of lusfx than this, which reads the layout '{layout}'. Train it again, or "
                "use the lusfx that it was trained with"
            )
        raise TaskModelError(f"{file_name} does not say that it holds '{layout}'")
    if set(found) != set(dimensions):
        raise TaskModelError(f"{file_name} must hold the arrays {', '.join(sorted(dimensions))} and no others")
    return {name: _checked(found[name], name, n_axes, file_name) for name, n_axes in dimensions.items()}


def require_shapes(
    tensors: Mapping[str, NDArray[np.float64]], shapes: Mapping[str, tuple[int, ...]], file_name: str
) -> None:
    """Refuse arrays that do not fit each other.

    :raises TaskModelError: naming the first that does not.
    """
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise TaskModelError(f"{file_name}: the array '{name}' has shape {tensors[name].shape}, not {shape}")


def _taken_apart(content: bytes, file_name: str) -> tuple[dict[str, Mapping[str, Any]], object]:
    """The stored arrays by name, and the layout that the image says it has."""
    from safetensors import SafetensorError, deserialize

    if MAX_HEADER_BYTES < int.from_bytes(content[:HEADER_LENGTH_BYTES], "little") < len(content):
        raise TaskModelError(f"{file_name} describes its arrays in more than {MAX_HEADER_BYTES} bytes")
    try:
        stored = dict(deserialize(content))  # type: ignore[no-untyped-call]
        return stored, _metadata(content).get(METADATA_KEY)
    except (SafetensorError, ValueError, TypeError, UnicodeError) as error:
        raise TaskModelError(f"{file_name} is not a valid safetensors file ({type(error).__name__})") from None


def _metadata(content: bytes) -> dict[str, Any]:
    """The header's metadata; the header was found sound before."""
    length = int.from_bytes(content[:HEADER_LENGTH_BYTES], "little")
    header = json.loads(content[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + length])
    metadata = header.get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def _checked(stored: Mapping[str, Any], name: str, n_axes: int, file_name: str) -> NDArray[np.float64]:
    shape = tuple(stored["shape"])
    if stored["dtype"] != "F64" or len(shape) != n_axes or 0 in shape:
        raise TaskModelError(f"{file_name}: the array '{name}' must be of float64 with {n_axes} axes, none empty")
    tensor = np.frombuffer(stored["data"], dtype="<f8").reshape(shape).astype(np.float64)
    if not np.isfinite(tensor).all():
        raise TaskModelError(f"{file_name}: the array '{name}' holds a value that is not finite")
    return tensor
