"""A graph from elsewhere is tried on the probe before a directory is made of it, in a process of its own.

What never returns or crashes then ends nothing but that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from lusfx.encoders.probe import LIMITS, Probe, difference, probed
from lusfx.errors import EncoderError

LONGEST_S: Final = 120
"""Loading the graph and encoding one image twice may take so long."""
REFUSED: Final = 3


def tried(directory: Path) -> Probe:
    """What the encoder of a directory makes of the probe.

    :raises EncoderError: if it fails, does not end, or makes another embedding of it each time.
    """
    command = [sys.executable, "-P", "-m", "lusfx.encoders.trial", str(directory)]
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and arguments of our own
            command,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        raise EncoderError(f"the encoder's graph does not encode one image within {LONGEST_S} s") from None
    if done.returncode == REFUSED:
        raise EncoderError(done.stdout.strip())
    if done.returncode != 0:
        raise EncoderError(f"the encoder's graph ends the process that tries it (status {done.returncode})")
    return Probe(embedding=done.stdout.strip())


def main(directory: Path) -> int:
    """Print what :func:`tried` returns, or the error's message."""
    from lusfx.encoders.directory import DirectoryEncoder

    try:
        encoder = DirectoryEncoder(directory, "cpu", 1, "float32", "onnxruntime")
        first, again = (probed(encoder.encode, encoder.preprocess.size) for _ in range(2))
        if difference(again, first) > LIMITS["float32"]:
            raise EncoderError(f"encoder {encoder.name} makes another embedding of the same image each time")
    except EncoderError as error:
        print(error)  # noqa: T201 - read by the process that started this one
        return REFUSED
    print(Probe.of(first).embedding)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
