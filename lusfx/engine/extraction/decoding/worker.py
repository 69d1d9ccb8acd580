"""A decoding process: ``python -m lusfx.engine.extraction.decoding.worker``, started by a run and by nobody else.

It is given sources one by one over a socket and sends back prepared frames. A file that crashes, freezes or floods it
costs that file only. It is limited, and no sandbox: it can read what its user can read.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.decoding import wire
from lusfx.engine.extraction.decoding.clip import Event, Refusal, decode, draw
from lusfx.engine.extraction.decoding.limits import takes_too_long
from lusfx.engine.extraction.decoding.source_file import SourceFile
from lusfx.errors import UnreadableClipError
from lusfx.plain_file import Stamp
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey

OPEN_FILES = 128
HEARTBEAT_S = 1.0
SLACK = 2.0
"""Its own alarm rings after so many times the silence that the run waits for: it is for a run that is no more."""
PR_SET_PDEATHSIG = 1


class _Gone(Exception):  # noqa: N818 - not an error
    """The run has closed the connection."""


class Worker:
    """The loop of a decoding process.

    :param connection: to the run.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._sent_s = time.monotonic()
        self._worked_s = 0.0
        """On the clip in hand, up to ``_sent_s``."""

    def serve(self) -> None:
        """Decode what is asked for until the run closes the connection."""
        try:
            setup = self._receive(wire.SETUP)
            site_key = SiteKey(bytes.fromhex(setup["site_key"]))
            spec = PreprocessSpec.model_validate(setup["preprocess"])
            readers = load_registry().readers.as_mapping()
            self._alarm_s, self._clip_s = SLACK * setup["silence_s"], setup["clip_s"]
            max_frames = setup["max_frames"]
            limit_process(setup["memory_mb"])
            self._send(wire.pack(wire.READY, {}))
            while True:
                job = self._receive(wire.JOB)
                found = [readers[suffix] for suffix in job["suffixes"] if suffix in readers]
                if not found:
                    self._refuse()
                    continue
                stamp = None if job["stamp"] is None else Stamp(**job["stamp"])
                file, frame = SourceFile(found[0], Path(job["path"]), site_key, stamp), job["drawn_frame"]
                if frame is None:
                    self._tell(decode(file, spec, max_frames, self._alive))
                else:
                    self._tell(draw(file, spec, frame, self._alive))
        except (_Gone, ConnectionError):
            pass

    def _refuse(self) -> None:
        event = Refusal("failed", "reader-missing", "a decoding process does not find the reader of this file")
        self._send(wire.pack_event(event))

    def _tell(self, events: Iterator[Event]) -> None:
        """Tell the run what becomes of a clip, while it becomes that."""
        self._send(wire.pack(wire.ALIVE, {}))  # from here on, its end may be the file's fault
        self._worked_s = 0.0
        self._alive()
        for event in events:
            self._send(wire.pack_event(event))
            signal.setitimer(signal.ITIMER_REAL, self._alarm_s)

    def _alive(self) -> None:
        """Put the alarm off, and tell the run now and then.

        :raises UnreadableClipError: if the clip in hand has taken too long.
        """
        signal.setitimer(signal.ITIMER_REAL, self._alarm_s)
        since_s = time.monotonic() - self._sent_s
        if self._worked_s + since_s > self._clip_s:
            raise UnreadableClipError("timed-out", takes_too_long(self._clip_s))
        if since_s > HEARTBEAT_S:
            self._send(wire.pack(wire.ALIVE, {}))

    def _send(self, message: bytes) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)  # the run may take its time to read
        self._worked_s += time.monotonic() - self._sent_s
        self.connection.sendall(message)
        self._sent_s = time.monotonic()

    def _receive(self, expected: int) -> dict[str, Any]:
        signal.setitimer(signal.ITIMER_REAL, 0)  # nor does waiting for a job mean that it is stuck
        kind, head, body = wire.unpack_header(self._exactly(wire.HEADER.size))
        if kind != expected or body:
            raise _Gone
        return wire.unpack_head(self._exactly(head))

    def _exactly(self, n: int) -> bytes:
        received = b""
        while len(received) < n:
            more = self.connection.recv(n - len(received))
            if not more:
                raise _Gone
            received += more
        return received


def limit_process(memory_mb: int) -> None:
    """Take from this process what decoding does not need. Memory counts from what it has now.

    :param memory_mb: that it may take beyond that.
    """
    import resource

    def at_most(which: int, value: int) -> None:
        _, hard = resource.getrlimit(which)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))

    sys.dont_write_bytecode = True
    at_most(resource.RLIMIT_CORE, 0)  # a core dump of a decoder is a picture of a patient
    at_most(resource.RLIMIT_FSIZE, 0)  # it writes no file
    at_most(resource.RLIMIT_NOFILE, OPEN_FILES)
    if sys.platform == "linux":  # elsewhere the limit counts otherwise, or not at all
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        at_most(resource.RLIMIT_AS, pages * resource.getpagesize() + (memory_mb << 20))


def end_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when the run ends, however busy the decoder is then; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit()


def main(descriptor: int, parent: int) -> None:
    """Serve a run.

    :param descriptor: of the connected socket.
    :param parent: process id of the run.
    """
    end_with_parent(parent)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with socket.socket(fileno=descriptor) as connection:
        Worker(connection).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
