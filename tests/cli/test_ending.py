"""The second signal ends a command at once, whatever its threads do and whoever reads what it prints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")]

PROGRAM = """
import atexit, os, sys, threading, time
from lusfx.cli.terminal import stop_on_signal

def hold():
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass

def tell():
    os.write(int(sys.argv[1]), b".")

with stop_on_signal() as stop:
    {}
    tell()
    stop.wait()
    tell()
    hold()
"""
ENDLESS = {
    "a thread that is no daemon": "threading.Thread(target=hold).start()",
    "a cleanup without end": "atexit.register(hold)",
    "the lock of a stream": "threading.Thread(target=lambda: print('x' * (1 << 22), flush=True)).start()",
    "a full pipe": "threading.Thread(target=os.write, args=(2, b'x' * (1 << 22))).start()",
    "a thread that is being started": "threading._active_limbo_lock.acquire()",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_second_signal_ends_it(name: str) -> None:
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(ENDLESS[name]), str(theirs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[theirs],
    )
    os.close(theirs)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            assert os.read(ours, 1) == b"."
            process.send_signal(number)
        assert process.wait(120) == 130
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
