"""Checkpoints: a run's whole state as safetensors and JSON, from which it goes on as if it had never stopped.

``step-N.safetensors`` is written first, ``step-N.json`` after it with the other's digest and its own: a checkpoint without a
sound JSON file is none. The last two are kept, so that one damaged file costs minutes and not the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from lusfx.networks.errors import NetworkError
from lusfx.networks.files import make_private_directory, remove_temporaries, write_whole

FORMAT = "lusfx-pretraining-checkpoint/1"
KEPT = 2
MAX_JSON_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run's state.

    :param tensors: by name, on the CPU.
    :param facts: JSON values, no NaN.
    """

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """The newest sound checkpoint.

    :param snapshot: None where the run has none yet.
    :param n_damaged: newer ones that are not what was written.
    """

    snapshot: Snapshot | None
    n_damaged: int


def write_checkpoint(directory: Path, step: int, snapshot: Snapshot) -> None:
    """Write a checkpoint, durable on return, and remove all but the last two.

    Those of higher steps are removed, too: a run that reaches this step again went back because they were damaged.

    :param step: optimiser steps so far; later checkpoints have higher ones.
    :raises NetworkError: if the disk refuses; earlier checkpoints stay.
    """
    make_private_directory(directory)
    remove_temporaries(directory)
    content = save({name: tensor.contiguous() for name, tensor in snapshot.tensors.items()})
    facts = {"format": FORMAT, "tensors_sha256": hashlib.sha256(content).hexdigest(), **snapshot.facts}
    text = _canonical(facts)
    sealed = json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "state": facts}, allow_nan=False)
    write_whole(_tensors_of(directory, step), content)
    write_whole(_facts_of(directory, step), sealed.encode("ascii"))
    sound = sorted(path.stem for path in directory.glob("step-*.json") if path.stem <= _facts_of(directory, step).stem)
    for path in directory.glob("step-*.*"):
        if path.stem not in sound[-KEPT:]:
            with contextlib.suppress(OSError):
                path.unlink()


def newest_checkpoint(directory: Path) -> Found:
    """Read the newest checkpoint that is whole.

    :raises NetworkError: if there are checkpoints and none of them is.
    """
    candidates = sorted(directory.glob("step-*.json"), reverse=True)
    for n_damaged, path in enumerate(candidates):
        snapshot = _read(path)
        if snapshot is not None:
            return Found(snapshot, n_damaged)
    if candidates:
        raise NetworkError(
            f"none of the run's {len(candidates)} checkpoints is as it was written. Remove the folder 'checkpoints' in --out "
            "to begin again with the decoded frames that are there"
        )
    return Found(None, 0)


def optimiser_state(optimiser: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as named tensors and JSON values."""
    tensors: dict[str, torch.Tensor] = {}
    values: dict[str, dict[str, Any]] = {}
    state = optimiser.state_dict()
    for number, entry in state["state"].items():
        values[str(number)] = {}
        for name, value in entry.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimiser.{number}.{name}"] = value.detach().cpu().clone()
            else:
                values[str(number)][name] = value
    return tensors, {"values": values, "groups": state["param_groups"]}


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]
) -> None:
    """Give an optimiser the state that :func:`optimiser_state` took.

    Settings of its groups are taken over, too, but those that are no JSON value as they were, a pair say, keep their type.
    """
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in facts["values"].items()}
    for key, tensor in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".", 2)
            state.setdefault(int(number), {})[name] = tensor
    groups = [
        {name: _like(current.get(name), value) for name, value in group.items()}
        for group, current in zip(facts["groups"], optimiser.state_dict()["param_groups"], strict=True)
    ]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    _lay_out(optimiser)


def _lay_out(optimiser: torch.optim.Optimizer) -> None:
    """Lay each state out in memory as its parameter: other strides take other kernels, and round otherwise."""
    for parameter, entry in optimiser.state.items():
        for name, value in entry.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.ndim:
                entry[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _like(current: object, value: object) -> object:
    return tuple(value) if isinstance(current, tuple) and isinstance(value, list) else value


def _read(path: Path) -> Snapshot | None:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            return None
        sealed = json.loads(path.read_bytes())
        facts = sealed["state"]
        if hashlib.sha256(_canonical(facts).encode()).hexdigest() != sealed["sha256"] or facts["format"] != FORMAT:
            return None
        content = path.with_suffix(".safetensors").read_bytes()
        if hashlib.sha256(content).hexdigest() != facts["tensors_sha256"]:
            return None
        return Snapshot(load(content), facts)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
        return None


def _canonical(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _tensors_of(directory: Path, step: int) -> Path:
    return directory / f"step-{step:010}.safetensors"


def _facts_of(directory: Path, step: int) -> Path:
    return directory / f"step-{step:010}.json"
