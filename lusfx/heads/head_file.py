"""The one file of a head, taken from those of its task model and limited in size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import TaskModelError
from lusfx.tensors import tensors_from_bytes, tensors_to_bytes

TENSOR_FILE = "head.safetensors"
MAX_TENSOR_BYTES = 1 << 29


def content_of(files: Mapping[str, bytes], name: str, max_bytes: int) -> bytes:
    """The content of a head's file.

    :raises TaskModelError: if it is missing or larger than any head's.
    """
    if name not in files:
        raise TaskModelError(f"{name} is missing")
    content = files[name]
    if len(content) > max_bytes:
        raise TaskModelError(f"{name} is larger than any head's ({len(content)} bytes)")
    return content


def tensor_file(layout: str, tensors: Mapping[str, NDArray[np.float64]]) -> dict[str, bytes]:
    """``head.safetensors`` by its name.

    :param layout: name and version, ``mlp/3`` say.
    """
    return {TENSOR_FILE: tensors_to_bytes(layout, tensors)}


def read_tensors(
    files: Mapping[str, bytes], layout: str, dimensions: Mapping[str, int]
) -> dict[str, NDArray[np.float64]]:
    """Read what :func:`tensor_file` gave.

    :param layout: what the file must say it is.
    :param dimensions: the number of axes of each array that there must be; no other may be there.
    :raises TaskModelError: if the file is missing, damaged or another one, or holds a value that is not finite.
    """
    return tensors_from_bytes(content_of(files, TENSOR_FILE, MAX_TENSOR_BYTES), layout, dimensions, TENSOR_FILE)
