"""A decoding process as the run sees it: started, asked, listened to, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.decoding import wire
from lusfx.engine.extraction.decoding.clip import Ending, Event, Picture, Portion, Refusal
from lusfx.engine.extraction.decoding.jobs import Job
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.site_key import SiteKey

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""There are as many decoders as cores; threads within them would only be in each other's way."""
END_S = 1.0


class WorkerDiedError(Exception):
    """The process has ended, or sends what no decoder sends."""


class WorkerProcess:
    """One decoding process. Its sources are decoded one after the other.

    :raises OSError: if it cannot be started.

    ``ready`` once it can be given a job; ``begun`` once it has taken it up, so that its end may be the file's fault;
    ``silent_s`` is how long the run has listened to it in vain, ``clip_s`` how long it has listened since it gave it its job.

    A new interpreter is started, and never a fork of this process, which has threads. What it prints is dropped: decoders
    and plugins quote files, and files name patients.
    """

    def __init__(self, spec: PreprocessSpec, site_key: SiteKey, limits: Limits) -> None:
        self.ready = self.begun = False
        self.job: Job | None = None
        self.silent_s = self.clip_s = 0.0
        self._size = spec.size
        self._max_frames = limits.max_frames
        self._n_frames = 0
        self._header = bytearray(wire.HEADER.size)
        self._message: bytearray | None = None
        self._filled = 0
        self._kind = self._head = 0
        self.connection, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs)
            except OSError:
                self.connection.close()
                raise
        self._send(
            wire.pack(
                wire.SETUP,
                {
                    "site_key": site_key.secret.hex(),
                    "preprocess": spec.model_dump(mode="json"),
                    "memory_mb": limits.memory_mb,
                    "silence_s": limits.silence_s,
                    "clip_s": limits.clip_s,
                    "max_frames": limits.max_frames,
                },
            )
        )
        self.connection.setblocking(False)

    def decode(self, job: Job) -> None:
        """Give it a source. If it has ended meanwhile, :meth:`receive` tells."""
        assert job.source.reader is not None
        self.job, self.begun, self._n_frames = job, False, 0
        self.silent_s = self.clip_s = 0.0
        self.connection.setblocking(True)  # it waits for nothing else, so it reads at once
        facts = {
            "path": str(job.source.path),
            "suffixes": list(job.source.reader.suffixes),
            "drawn_frame": job.drawn_frame,
            "stamp": None if job.stamp is None else asdict(job.stamp),
        }
        self._send(wire.pack(wire.JOB, facts))
        self.connection.setblocking(False)

    def receive(self) -> Event | None:
        """Read one message, as far as it has come; ``ready``, ``begun`` and ``silent_s`` are kept up to date.

        :returns: what became of its job, if the message says so.
        :raises WorkerDiedError: if it has ended, or sent what no decoder sends.
        """
        message = self._next_message()
        if message is None:
            return None
        self.silent_s = 0.0
        self.begun = self.job is not None
        if self._kind == wire.READY:
            self.ready = True
            return None
        return None if self._kind == wire.ALIVE else self._event(memoryview(message))

    def end(self) -> None:
        """End it at once; it holds nothing that would be lost."""
        self.connection.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel may hold it: a network disk that is gone
            self._process.wait(timeout=END_S)

    def exit_reason(self) -> str:
        """How it ended, in words for a ledger."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "sent what no decoder sends"
        if code >= 0:
            return f"ended with exit status {code}"
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal has no name
            return f"was ended by signal {-code}"

    def _event(self, message: memoryview) -> Event:
        try:
            event = wire.unpack_event(self._kind, message[: self._head], message[self._head :], self._size)
        except wire.WireError as error:
            raise WorkerDiedError from error
        if isinstance(event, Portion):
            self._n_frames += len(event.status)
        if self.job is None or self._n_frames > self._max_frames:
            raise WorkerDiedError
        asked_for = (Portion, Ending) if self.job.drawn_frame is None else (Picture,)
        if not isinstance(event, (Refusal, *asked_for)):
            raise WorkerDiedError
        return event

    def _next_message(self) -> bytearray | None:
        """Read on; the message if it is whole now, None if its rest has yet to come."""
        if self._message is None:
            if not self._fill(self._header):
                return None
            try:
                self._kind, self._head, body = wire.unpack_header(self._header)
            except wire.WireError as error:
                raise WorkerDiedError from error
            self._message = bytearray(self._head + body)
        if not self._fill(self._message):
            return None
        message, self._message = self._message, None
        return message

    def _fill(self, buffer: bytearray) -> bool:
        """Read into a buffer from where the last call ended; whether it is full now, and the next begins anew."""
        view = memoryview(buffer)
        while self._filled < len(buffer):
            try:
                n = self.connection.recv_into(view[self._filled :])
            except BlockingIOError:
                return False
            except ConnectionError as error:
                raise WorkerDiedError from error
            if n == 0:
                raise WorkerDiedError
            self._filled += n
        self._filled = 0
        return True

    def _send(self, message: bytes) -> None:
        try:
            self.connection.sendall(message)
        except ConnectionError:
            return


def _start(connection: socket.socket) -> subprocess.Popen[bytes]:
    """A new interpreter with this one's path, and one end of a connection."""
    descriptor = connection.fileno()
    return subprocess.Popen(  # noqa: S603 - this interpreter, and arguments of our own
        [
            sys.executable or "",
            "-P",
            "-m",
            "lusfx.engine.extraction.decoding.worker",
            str(descriptor),
            str(os.getpid()),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        process_group=0,  # Ctrl-C is for the run, which then ends its decoders
        env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )
