"""Plain files: what is read whole, and what is not read at all."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lusfx.plain_file import NotPlainError, read_plain_file


def test_a_plain_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    assert read_plain_file(tmp_path / "file", 4) == b"1234"
    (tmp_path / "empty").write_bytes(b"")
    assert read_plain_file(tmp_path / "empty", 4) == b""


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(NotPlainError, match="larger than 4 bytes"):
        read_plain_file(tmp_path / "file", 4)


def test_a_link_is_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to("file")
    assert read_plain_file(tmp_path / "link", 4, follow_links=True) == b"1234"
    if hasattr(os, "O_NOFOLLOW"):
        with pytest.raises(OSError):
            read_plain_file(tmp_path / "link", 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotPlainError, match="not a plain file"):
        read_plain_file(tmp_path / "pipe", 4)


@pytest.mark.skipif(os.name == "nt", reason="Windows opens no directory")
def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read_plain_file(tmp_path, 4)


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are not told apart here")
@pytest.mark.parametrize("target", ["file", "missing", "link", "/dev/zero", "."])
def test_a_link_is_not_plain_wherever_it_leads(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(NotPlainError, match="not a plain file"):
        read_plain_file(tmp_path / "link", 4)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no such sockets here")
def test_a_socket_is_not_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(NotPlainError, match="not a plain file"):
            read_plain_file(Path("socket"), 4)
