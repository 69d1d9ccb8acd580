"""Freed memory stays with the process while a network is trained, and goes back afterwards."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lusfx.networks import kept_memory as module
from lusfx.networks.kept_memory import OWN_SETTINGS, kept_memory

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says what a process holds")
GLIBC = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="the C library is not glibc",
)
PROGRAM = """
import ctypes, json
from pathlib import Path
from lusfx.networks.kept_memory import kept_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]

def held_mib_after_freeing():
    place = libc.malloc(64 << 20)
    ctypes.memset(place, 1, 64 << 20)
    libc.free(place)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1024

before = held_mib_after_freeing()
with kept_memory() as done:
    within = held_mib_after_freeing()
print(json.dumps([done, before, within, held_mib_after_freeing()]))
"""


def said(environment: dict[str, str]) -> list[int]:
    command = [sys.executable, "-c", PROGRAM]
    return list(json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout))


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    import os

    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return dict(os.environ)


@GLIBC
@ON_LINUX
@pytest.mark.slow
def test_what_was_freed_stays_until_the_end(plain_environment: dict[str, str]) -> None:
    done, before, within, after = said(plain_environment)
    assert done
    assert within >= before + 60
    assert after <= before + 4


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_who_starts_the_process_decides(plain_environment: dict[str, str], name: str) -> None:
    value = "glibc.malloc.check=0" if name == "GLIBC_TUNABLES" else "65536"
    assert said(plain_environment | {name: value})[0] is False


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module.sys, "platform", "win32")
    with kept_memory() as done:
        assert not done
