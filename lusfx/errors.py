"""Every error that lusfx raises on purpose.

A message says what is wrong, where, and the next step. It never repeats the content of a patient field, and never a
file's name or folder: both can name a patient. Errors that concern one source carry a stable ``code``, which the ledger
records.
"""

from __future__ import annotations


class LusfxError(Exception):
    """Base class; the command line catches it once, prints it, and exits with ``exit_code``."""

    exit_code = 1


class UsageError(LusfxError, ValueError):
    """The call itself makes no sense (unknown name, contradictory options)."""

    exit_code = 2


class RunInterruptedError(LusfxError):
    """Whoever started the run asked it to stop, before it had anything to show or began to listen."""

    exit_code = 130


class MissingExtraError(LusfxError, ImportError):
    """A part needs packages that only an optional extra installs."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}'. Run: pip install 'lusfx[{extra}]'")
        self.extra = extra


class ClipError(LusfxError):
    """One source could not become embeddings. It never stops the sources beside it.

    :param code: stable, lower-case, hyphenated; what the ledger records and programs test for.
    :param detail: what a person reads; free of patient data, names and paths.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.detail = detail


class UnreadableClipError(ClipError):
    """The source is damaged, unsupported or not what it claims to be: the ledger says *failed*."""


class SkippedClipError(ClipError):
    """The source is sound but holds nothing to encode (no B-mode region, say): the ledger says *skipped*."""


class CacheError(LusfxError):
    """The cache as a whole cannot be used (foreign format, unwritable, full disk)."""


class CorruptRecordError(CacheError):
    """One file of the cache does not have the content that was written: it must not be used."""


class ClipNotCachedError(CacheError, KeyError):
    """The cache holds no embeddings of this clip under this fingerprint."""

    def __str__(self) -> str:  # KeyError would show the message's repr
        return str(self.args[0]) if self.args else ""


class EncoderError(LusfxError):
    """An encoder directory is incomplete, altered or inconsistent, or its weights do not fit its architecture."""


class EncoderMemoryError(EncoderError, MemoryError):
    """The device has too little memory for a batch: a smaller one may fit."""


class DecoderError(LusfxError):
    """Decoding processes cannot be started on this machine."""


class PluginError(LusfxError):
    """A plugin is broken, misspelt, or claims a name that another one has."""


class TableError(LusfxError, ValueError):
    """A manifest, label table or score table cannot be read or lacks a column."""


class TrainingRefusedError(LusfxError, ValueError):
    """The data do not allow a result that could be trusted; the message names the first few offenders by key."""


class TaskModelError(LusfxError):
    """A task model directory is incomplete, altered or invalid."""


class FingerprintMismatchError(TaskModelError):
    """Features of one fingerprint were offered to a head that was trained on another."""


class LeakError(LusfxError, ValueError):
    """An evaluation would judge a model on patients or content that it was trained on."""
