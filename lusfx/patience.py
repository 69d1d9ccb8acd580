"""Patience with a disk that refuses for a moment: network file systems and Windows do, while another program looks at a file.

SMB servers and virus scanners hold a file that was just written (``EACCES``, ``EBUSY``, ``EPERM``; on Windows
``PermissionError``), NFS loses a handle or an answer (``ESTALE``, ``EIO``, ``ETIMEDOUT``). Asked again a little later, both
mostly do as they are told. A disk that is full or read-only is not asked again.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Before each further try: about a second and a half in all."""
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY})
"""Nothing was done."""
UNCERTAIN = frozenset({errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN})
"""The answer was lost; what was asked may have been done."""


def insist(call: Callable[[], None], passing: frozenset[int] = REFUSED | UNCERTAIN) -> None:
    """Do something on a disk; where it is refused in a way that may pass, wait and do it again, a few times.

    :param passing: error numbers that may pass.
    :raises OSError: the last refusal, or at once one that does not pass.
    """
    for pause_s in PAUSES_S:
        try:
            return call()
        except OSError as error:
            if error.errno not in passing:
                raise
        time.sleep(pause_s)
    return call()


def replace(source: Path, target: Path) -> None:
    """Give a file or directory another name, in place of what has it; see :func:`os.replace` and :func:`insist`."""
    before = source.lstat()

    def rename() -> None:
        try:
            os.replace(source, target)  # noqa: PTH105 - the one system call that replaces atomically, on Windows too
        except FileNotFoundError:
            # Asked twice, NFS says so of what it did the first time and whose answer was lost.
            if not (_is_file(target, before) and not os.path.lexists(source)):
                raise

    insist(rename)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, if that is free; see :func:`os.link` and :func:`insist`.

    :raises FileExistsError: if it is taken by another file.
    """

    def link_once() -> None:
        try:
            os.link(source, target)
        except FileExistsError:
            if not _is_file(target, source.lstat()):
                raise

    insist(link_once)


def remove(path: Path) -> None:
    """Remove a file; one that is not there is no error. See :func:`insist`."""
    insist(lambda: path.unlink(missing_ok=True))


def _is_file(path: Path, other: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), other)
    except OSError:
        return False
