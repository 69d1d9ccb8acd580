"""Writes a task model directory whole or not at all, and never over anything else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lusfx.durable import exchange, make_directory, sync_directory
from lusfx.errors import TaskModelError
from lusfx.messages import short, system_reason
from lusfx.outputs import refuse_taken
from lusfx.patience import replace
from lusfx.task_model.card import (
    CARD_FILE,
    MAX_FILE_BYTES,
    REPORT_FILE,
    TaskModelCard,
    TaskModelFacts,
    as_json,
    make_card,
    read_card,
)
from lusfx.task_model.evidence import EVIDENCE_FILE, check_evidence, most_strings
from lusfx.task_model.own_encoder import (
    OWN_ENCODER,
    copy_encoder,
    foreign_to_encoder,
    own_encoder_problems,
)
from lusfx.task_model.strict_json import read_bytes, strict_json

FILE_MODE = 0o600  # the evidence holds patient keys: nobody but the owner reads it unless the owner says so
DIRECTORY_MODE = 0o700
OLD = ".old-"
"""Between the name of a task model that was replaced and its digest."""


def save_task_model(
    directory: Path,
    facts: TaskModelFacts,
    files: Mapping[str, bytes],
    evidence: Mapping[str, Any],
    report_html: str,
    own_encoder: Path | None = None,
) -> str:
    """Write a task model.

    Everything is written into a new directory beside the target and made durable; then the target's name is given to it. A
    crash before that leaves the old model as it was. An old model is kept: see :func:`place_of_old`.

    :param directory: the target: absent, empty, or a task model, which is replaced.
    :param facts: what the card says but for the digests, which are made here.
    :param files: those of each head, named by :func:`~lusfx.task_model.card.head_file`, and of the novelty.
    :param evidence: what the report was drawn from; JSON values, no NaN.
    :param own_encoder: directory of the encoder that the model brings along, whose card's digest ``facts`` state; it is copied.
    :returns: the model's digest.
    :raises TaskModelError: if the target is anything else, the evidence could not be read back, the encoder is not sound, or
        the disk refuses.
    """
    directory = directory.absolute()
    n_units = (outcome.n_units for outcome in facts.outcomes)
    evidence_json = _evidence_json(evidence, most_strings(facts.training.n_clips, n_units))
    check_evidence(evidence, facts.task.outcomes, orders_only=facts.orders_only)
    temporary = directory.with_name(f".{directory.name[:80]}.new-{secrets.token_hex(6)}")
    try:
        check_replaceable(directory)
        make_directory(directory.parent)
        temporary.mkdir(mode=DIRECTORY_MODE)
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        _bring_encoder(temporary, facts, own_encoder)
        (temporary / EVIDENCE_FILE).write_bytes(evidence_json)
        (temporary / REPORT_FILE).write_bytes(report_html.encode("utf-8", "replace"))
        digest = _write_card(temporary, facts)
        _make_durable(temporary)
        _take_the_name(temporary, directory)
    except OSError as error:
        raise TaskModelError(f"the task model cannot be written: {system_reason(error)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return digest


def check_replaceable(directory: Path, *, force: bool = True) -> None:
    """Refuse a target that holds anything but a task model.

    :param force: whether a task model may be replaced.
    :raises TaskModelError: if it does.
    :raises UsageError: if it holds a task model that may not be replaced.
    """
    if not os.path.lexists(directory):
        return
    if directory.is_symlink() or not directory.is_dir():
        raise TaskModelError("the place for the task model is taken by something that is not a directory")
    names = {entry.name for entry in directory.iterdir()}
    if not names:
        return
    refusal = "the directory is not empty and holds {}: it is left as it is. Choose another one."
    try:
        card, _ = read_card(directory)
    except TaskModelError:
        raise TaskModelError(refusal.format("no task model")) from None
    if names - _entries(card) or (card.own_encoder is not None and foreign_to_encoder(directory)):
        raise TaskModelError(refusal.format("more than a task model"))
    refuse_taken("task model", directory, force)


def models_below(directory: Path) -> list[Path]:
    """The task models right below a directory that is none itself, in order of name. Those that were replaced are left out."""
    if (directory / CARD_FILE).exists():
        return []
    try:
        below = sorted(path.parent for path in directory.glob(f"*/{CARD_FILE}"))
    except OSError:
        return []
    return [path for path in below if not path.name.startswith(".") and OLD not in path.name]


def place_of_old(directory: Path) -> Path | None:
    """Where a task model goes that is replaced: beside, its name ending in ``.old-`` and its digest's first digits.

    :returns: None where there is no task model.
    """
    try:
        _, digest = read_card(directory)
    except TaskModelError:
        return None
    place = directory.with_name(f"{directory.name[:80]}{OLD}{short(digest)}")
    return place.with_name(f"{place.name}-{secrets.token_hex(3)}") if os.path.lexists(place) else place


def _entries(card: TaskModelCard) -> set[str]:
    """Names of all that lies in a task model's directory."""
    return {CARD_FILE, *card.files, *([] if card.own_encoder is None else [OWN_ENCODER])}


def _bring_encoder(directory: Path, facts: TaskModelFacts, encoder: Path | None) -> None:
    if encoder is not None:
        copy_encoder(encoder, directory)
    problems = [] if facts.own_encoder is None else _encoder_problems(directory, facts)
    if problems or (encoder is None) != (facts.own_encoder is None):
        raise TaskModelError(f"the task model cannot be written: {(*problems, 'its facts name no such encoder')[0]}")


def _encoder_problems(directory: Path, facts: TaskModelFacts) -> list[str]:
    if facts.own_encoder is None:
        return []
    return own_encoder_problems(directory, facts.own_encoder, facts.features.fingerprint)


def checked_files(directory: Path, card: TaskModelCard) -> tuple[dict[str, bytes], list[str]]:
    """The files beside the card whose content is what was written, and what is wrong with the others.

    Each is read once: what is used afterwards are the bytes that were checked.

    :returns: contents by name, and one sentence a problem.
    """
    contents: dict[str, bytes] = {}
    problems = []
    for name, expected in sorted(card.files.items()):
        try:
            content = read_bytes(directory / name, expected.n_bytes)
        except TaskModelError as error:
            problems.append(str(error))
            continue
        if len(content) < expected.n_bytes:
            problems.append(f"{name} has {len(content)} bytes, and was written with {expected.n_bytes}")
        elif hashlib.sha256(content).hexdigest() != expected.sha256:
            problems.append(f"{name} does not have the content that was written")
        contents[name] = content
    return contents, [*problems, *_foreign_entries(directory, card), *_encoder_problems(directory, card)]


def _foreign_entries(directory: Path, card: TaskModelCard) -> Iterator[str]:
    # What a file manager leaves behind begins with a dot. Anything else is not part of the model, whoever put it there.
    try:
        names = {entry.name for entry in directory.iterdir() if not entry.name.startswith(".")}
    except OSError as error:
        yield f"the directory cannot be listed: {system_reason(error)}"
        return
    others = len(names - _entries(card))
    if others:
        yield f"there are entries that {CARD_FILE} does not list ({others})"


def _evidence_json(evidence: Mapping[str, Any], max_strings: int) -> bytes:
    try:
        content = json.dumps(evidence, indent=1, sort_keys=True, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise TaskModelError(f"the evidence cannot be written as JSON: {error}") from None
    strict_json(content, EVIDENCE_FILE, max_strings)  # what could not be read back must not be written
    return content


def _write_card(directory: Path, facts: TaskModelFacts) -> str:
    contents = {
        path.name: read_bytes(path, MAX_FILE_BYTES) for path in sorted(directory.iterdir()) if path.name != OWN_ENCODER
    }
    card = make_card(facts, contents)
    text = json.dumps(as_json(card), indent=2, sort_keys=True, allow_nan=False) + "\n"
    content = text.encode("ascii")
    (directory / CARD_FILE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _make_durable(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            _make_durable(path)
            continue
        path.chmod(FILE_MODE)
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    sync_directory(directory)


def _take_the_name(temporary: Path, directory: Path) -> None:
    """Change places with an old model, or take a name that is free."""
    check_replaceable(directory)
    if not directory.exists():
        replace(temporary, directory)
        sync_directory(directory.parent)
        return
    kept = place_of_old(directory)
    aside = temporary.with_name(f"{temporary.name}.old") if kept is None else kept
    if exchange(temporary, directory):
        replace(temporary, aside)
    else:
        _step_aside(temporary, directory, aside)
    sync_directory(directory.parent)
    if kept is None:
        with contextlib.suppress(OSError):  # it was empty; what arrived since then stays
            aside.rmdir()


def _step_aside(temporary: Path, directory: Path, aside: Path) -> None:
    """Two renames, where the system has no exchange: killed between them, the old model lies beside, under a hidden name."""
    replace(directory, aside)
    try:
        replace(temporary, directory)
    except OSError:
        replace(aside, directory)
        raise
