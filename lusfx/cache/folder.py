"""A directory of a cache, held open: what is listed, moved and removed in it lies in it, and no link leads elsewhere.

A cache may come from elsewhere. What has the name of one of its directories or files may be a link, a pipe or a device, and may
be exchanged while somebody looks. So directories below the cache itself are opened one in the other without following links,
and everything is done by names within an open directory. The cache's own directory may be a link: that is its user's choice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from lusfx.durable import DIRECTORY_MODE, TEMPORARY_PREFIX, sync_directory
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.messages import short, system_reason
from lusfx.patience import insist

BY_DESCRIPTOR = os.open in os.supports_dir_fd
"""Windows opens no directories: there each step is looked at by its path instead."""


class Folder:
    """An open directory of a cache; see :meth:`open`.

    :param path: of the directory, for reading what lies in it.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    @contextmanager
    def open(cls, cache: Path, *names: str, make: bool = False) -> Iterator[Self]:
        """Open a directory of a cache, to be used as a context.

        :param names: of the directories on the way down from the cache's own.
        :param make: whether to make those that are missing.
        :raises FileNotFoundError: if it is not there.
        :raises NotADirectoryError: if it, or one on the way, is a link or no directory.
        """
        folder = cls(cache, os.open(cache, _FLAGS) if BY_DESCRIPTOR else None)
        try:
            for name in names:
                if make:
                    folder._make(name)
                inner = folder._step(name)
                folder._close()
                folder = inner
            yield folder
        finally:
            folder._close()

    def names(self) -> list[str]:
        """Names of all that lies in it, in order."""
        return sorted(os.listdir(self.path if self._descriptor is None else self._descriptor))  # noqa: PTH208

    def kind(self, name: str) -> os.stat_result:
        """What lies under a name; of a link, the link itself.

        :raises FileNotFoundError: if nothing does.
        """
        return os.stat(**self._at(name), follow_symlinks=False)

    def is_directory(self, name: str) -> bool:
        """Whether a directory lies under a name, and no link to one."""
        try:
            return stat.S_ISDIR(self.kind(name).st_mode)
        except FileNotFoundError:
            return False

    def remove(self, name: str) -> None:
        """Remove what is no directory: of a link, the link itself. What is not there is no error.

        :raises IsADirectoryError: if it is a directory.
        """
        if self.is_directory(name):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with contextlib.suppress(FileNotFoundError):
            insist(lambda: os.unlink(**self._at(name)))

    def remove_empty(self, name: str) -> None:
        """Remove an empty directory."""
        insist(lambda: os.rmdir(**self._at(name)))

    def set_aside(self, name: str, to: Folder, new_name: str, is_sound: Callable[[Path], bool]) -> bool:
        """Move what was found damaged into another directory, unless it has been mended since.

        It is moved to a name that nobody else uses before it is looked at once more, so that what is judged is what is moved.

        :param is_sound: judges the file at a path. If it raises an error, the file is put back.
        :returns: whether it was moved.
        :raises FileNotFoundError: if it is not there.
        """
        hidden = f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        with contextlib.suppress(PermissionError):  # else tidying would take it for an old temporary file
            os.utime(**self._at(name), follow_symlinks=False)
        self._rename(name, self, hidden)
        try:
            sound = is_sound(self.path / hidden)
        except BaseException:
            self._put_back(hidden, name)
            raise
        if sound:
            self._put_back(hidden, name)
            return False
        self._rename(hidden, to, new_name)
        return True

    def keep(self, name: str, to: Folder, new_name: str) -> None:
        """Give a file a second name in another directory, so that its content is kept when its own name gets another."""
        try:
            insist(lambda: self._link(name, to, new_name))
        except (OSError, NotImplementedError):  # a file system without hard links
            self._rename(name, to, new_name)

    def _link(self, name: str, to: Folder, new_name: str) -> None:
        if self._descriptor is None or to._descriptor is None:
            os.link(self.path / name, to.path / new_name, follow_symlinks=False)
        else:
            os.link(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=to._descriptor, follow_symlinks=False)

    def _put_back(self, hidden: str, name: str) -> None:
        """Give a file its name again, unless another has it by now: that was written later, and is as good."""
        try:
            insist(lambda: self._link(hidden, self, name))
        except FileExistsError:
            pass
        except (OSError, NotImplementedError):  # a directory, or a file system without hard links
            self._rename(hidden, self, name)
            return
        self.remove(hidden)

    def _rename(self, name: str, to: Folder, new_name: str) -> None:
        def rename() -> None:
            try:
                if self._descriptor is None or to._descriptor is None:
                    os.rename(self.path / name, to.path / new_name)  # noqa: PTH104
                else:
                    os.rename(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=to._descriptor)
            except FileNotFoundError:
                # Asked twice, NFS says so of what it did the first time and whose answer was lost.
                to.kind(new_name)

        insist(rename)

    def _at(self, name: str) -> dict[str, Any]:
        if self._descriptor is None:
            return {"path": self.path / name}
        return {"path": name, "dir_fd": self._descriptor}

    def _make(self, name: str) -> None:
        try:
            os.mkdir(**self._at(name), mode=DIRECTORY_MODE)  # noqa: PTH102
        except FileExistsError:
            return
        sync_directory(self.path)

    def _step(self, name: str) -> Self:
        path = self.path / name
        if self._descriptor is None:
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            return type(self)(path, None)
        try:
            return type(self)(path, os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=self._descriptor))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            raise

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


def remove_file(cache: Path, path: Path) -> None:
    """Remove a file of a cache; one that is not there is no error.

    :raises OSError: if it cannot be removed, or a directory on the way is a link.
    """
    *names, name = path.relative_to(cache).parts
    with contextlib.suppress(FileNotFoundError), Folder.open(cache, *names) as folder:
        folder.remove(name)


def names_in(cache: Path, *names: str) -> list[str]:
    """Names in a directory of a cache, in order; none where it is not there.

    :raises CorruptRecordError: if it is a link or no directory.
    :raises CacheError: if it cannot be read at present.
    """
    return _listed(cache, names, lambda folder: folder.names())


def directories_in(cache: Path, *names: str) -> list[str]:
    """Those of them that are directories, and no links to any."""
    return _listed(cache, names, lambda folder: [name for name in folder.names() if folder.is_directory(name)])


def _listed(cache: Path, names: Sequence[str], look: Callable[[Folder], list[str]]) -> list[str]:
    try:
        with Folder.open(cache, *names) as folder:
            return look(folder)
    except FileNotFoundError:
        return []  # never made, or removed meanwhile
    except NotADirectoryError:
        raise no_directory(*names) from None
    except OSError as error:
        raise CacheError(f"the cache cannot be read: {system_reason(error)}") from None


def no_directory(*names: str) -> CorruptRecordError:
    """The error for a directory of a cache that is none."""
    where = "/".join(map(short, names)) or "the cache"
    return CorruptRecordError(
        f"{where} is a link or no directory, and nothing is read or written through it. Put a directory in its place, or "
        "move the whole cache"
    )
