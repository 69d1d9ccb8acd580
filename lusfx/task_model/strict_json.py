"""JSON that means one thing: no key twice, no NaN, no bottomless nesting. And files that are plain files of bounded size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lusfx.errors import TaskModelError
from lusfx.messages import system_reason
from lusfx.plain_file import NotPlainError, read_plain_file

MAX_DEPTH = 32
MAX_CONTAINERS = 1 << 17
MAX_VALUES = 1 << 24
MAX_STRINGS = 1 << 17
"""Unless more are known to be needed."""


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a plain file whole.

    :raises TaskModelError: if it is missing, a link, a device, or larger than ``max_bytes``. The message names the file,
        whose name is one of the format's, and not its folder.
    """
    try:
        return read_plain_file(path, max_bytes)
    except FileNotFoundError:
        raise TaskModelError(f"{path.name} is missing") from None
    except NotPlainError as error:
        raise TaskModelError(f"{path.name} cannot be read: {error.strerror}") from None
    except OSError as error:
        raise TaskModelError(f"{path.name} cannot be read: {system_reason(error)}") from None


def strict_json(content: bytes, name: str, max_strings: int = MAX_STRINGS) -> dict[str, Any]:
    """Parse an object.

    :param name: for messages.
    :param max_strings: that it may hold, names included.
    :raises TaskModelError: if it is not one, repeats a key, holds NaN or an infinity, nests deeper than MAX_DEPTH, or holds
        more values than any file of the format: a few bytes a value on disk are some hundred in memory.
    """
    # Counted before anything is built; what stands within a string counts as well, which the limits have room for.
    containers = content.count(b"{") + content.count(b"[")
    if containers > MAX_CONTAINERS or content.count(b",") > MAX_VALUES or content.count(b'"') > 2 * max_strings:
        raise TaskModelError(f"{name} holds more values than any that lusfx writes")
    try:
        value = json.loads(
            content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
        )
    except RecursionError:
        raise TaskModelError(f"{name} is nested too deeply") from None
    except UnicodeDecodeError:
        raise TaskModelError(f"{name} is not UTF-8") from None
    except ValueError as error:
        detail = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise TaskModelError(f"{name} is not valid JSON: {detail}") from None
    if not isinstance(value, dict):
        raise TaskModelError(f"{name} is not a JSON object")
    _check_depth(value, name)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _constant(_text: str) -> float:
    raise ValueError("NaN and infinities are not JSON")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # 1e999 is spelt like a number
        raise ValueError("a number is too large")
    return value


def _check_depth(value: Any, name: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise TaskModelError(f"{name} is nested too deeply")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
