"""Names that belong to a system and not to an archive: what bears them is left alone, and counted as the system's own.

Other names that begin with a dot are read: exports name series so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from fnmatch import translate
from pathlib import Path
from typing import NamedTuple

from lusfx.plain_file import read_plain_file

MAX_CARD_BYTES = 2**20


class SystemNames(NamedTuple):
    """Names that are left alone for one reason.

    :param patterns: as of a shell, in any capitals; a folder's ends with ``/``, and ``?`` stands for a space.
    """

    reason: str
    patterns: str


SYSTEM_NAMES = (
    SystemNames(
        "Snapshots of file servers: they hold every clip once more for each day",
        ".snapshot/ .snapshots/ .snap/ .zfs/ ~snapshot/ #snapshot/ .glusterfs/",
    ),
    SystemNames(
        "What was thrown away",
        ".trash/ .trash-*/ .trashes/ $recycle.bin/ recycler/ #recycle/ @recycle/ network?trash?folder/ .stversions/",
    ),
    SystemNames(
        "Version control and its copies of data",
        ".git .git/ .gitignore .gitattributes .gitkeep .gitmodules .svn/ .hg/ .bzr/ .jj/ .dvc/ .datalad/",
    ),
    SystemNames(
        "macOS: what it knows of a folder, its search, the second halves of its files",
        ".ds_store .localized .apdisk .volumeicon.icns .com.apple.* __macosx/ .appledouble/ .appledb/ .appledesktop/ "
        ".spotlight-v100/ .fseventsd/ .temporaryitems/ temporary?items/ .documentrevisions-v100/",
    ),
    SystemNames(
        "Windows: previews, looks of folders, its own books",
        "thumbs.db ehthumbs.db desktop.ini system?volume?information/",
    ),
    SystemNames("Previews that file servers and desktops make", "@eadir/ .@__thumb/ .thumbnails/ .directory"),
    SystemNames("Linux: what a repair of the disk found", "lost+found/"),
    SystemNames(
        "Caches, settings and keys of programs",
        ".cache/ .config/ .local/ .ssh/ .gnupg/ .venv/ .tox/ .nox/ .conda/ .mypy_cache/ .pytest_cache/ .ruff_cache/ "
        ".ipynb_checkpoints/ .idea/ .vscode/ __pycache__/",
    ),
    SystemNames(
        "Files that are open elsewhere, locked, removed while open, or on their way",
        ".nfs* .smbdelete* .fuse_hidden* .~lock.* ~$* .~tmp~/ .rsync-partial/ .dropbox.cache/ .sync/",
    ),
    SystemNames("What lusfx itself was writing", ".tmp-*-????????????"),
)
"""What is left alone, and why. AppleDouble files (``._name``) are told by their first bytes as well: see
:mod:`lusfx.engine.extraction.sources`."""

OWN_CARDS = ("cache.json", "task_model.json", "encoder.json")
"""One of them lies in each cache, task model and encoder directory of lusfx."""


def _expression(folders: bool) -> re.Pattern[str]:
    patterns = [p for names in SYSTEM_NAMES for p in names.patterns.split() if p.endswith("/") == folders]
    return re.compile("|".join(translate(pattern.removesuffix("/")) for pattern in patterns), re.IGNORECASE)


_FOLDERS, _FILES = _expression(folders=True), _expression(folders=False)


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is a system's own."""
    return _FOLDERS.fullmatch(name) is not None


def is_system_file(name: str) -> bool:
    """Whether a file of this name is a system's own."""
    return _FILES.fullmatch(name) is not None


def is_own_folder(folder: Path, names: Collection[str]) -> bool:
    """Whether a folder is a cache, a task model or an encoder of lusfx: what lies there is its own.

    :param names: of the files in it.
    """
    for card in OWN_CARDS:
        if card in names:
            try:
                facts = json.loads(read_plain_file(folder / card, MAX_CARD_BYTES))
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(facts, dict) and str(facts.get("format")).startswith("lusfx-"):
                return True
    return False
