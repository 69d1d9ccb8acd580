"""How much memory a run and its decoding processes hold, as Linux counts it: what several share is divided among them."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path

SAMPLE_S = 0.03
MIB = 1 << 20
AVAILABLE = Path("/proc/self/smaps_rollup").exists()


def _words(process: Path) -> list[bytes]:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes().split(b"\0")
    return []


def _pss_mib(process: Path) -> float:
    """Proportional set size; 0 of a process that is gone."""
    with contextlib.suppress(OSError):
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / MIB
    return 0.0


def most_resident_mib(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process; the most memory that was resident in it, in MiB, up to a sample before its end.

    What ``wait4`` says of it is no less than the parent held when the process was started.
    """
    most = 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    most = int(line.split()[1]) * 1024 / MIB
        time.sleep(SAMPLE_S)
    return most


class Meter:
    """A context that watches the run whose command line has a word, and its decoding processes.

    :param word: of the command line, such as the path of its cache.
    """

    def __init__(self, word: Path) -> None:
        self._word = str(word).encode()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.run_mib = self.decoder_mib = 0.0

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        run: Path | None = None
        while not self._done.is_set():
            words = {process: _words(process) for process in Path("/proc").glob("[0-9]*")}
            run = next((process for process, said in words.items() if self._word in said), None)
            for process, said in words.items():
                if process == run:
                    self.run_mib = max(self.run_mib, _pss_mib(process))
                elif (
                    run is not None and b"lusfx.engine.extraction.decoding.worker" in said and run.name.encode() in said
                ):
                    self.decoder_mib = max(self.decoder_mib, _pss_mib(process))
            time.sleep(SAMPLE_S)
