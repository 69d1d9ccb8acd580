"""Clips as video files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

VideoCodec = Literal["mpeg4", "libx264"]


def has_encoder(codec: VideoCodec) -> bool:
    """Whether the installed PyAV can encode with it; builds without GPL parts have no libx264."""
    import av

    try:
        av.Codec(codec, "w")
    except av.FFmpegError:
        return False
    return True


def write_video(path: Path, frames: NDArray[np.uint8], frame_rate_hz: int, codec: VideoCodec = "mpeg4") -> None:
    """Write frames as MPEG-4 or H.264 video in an mp4 container: the same bytes for the same frames.

    :param frames: ``(n, height, width)`` grey or ``(n, height, width, 3)`` colour.
    """
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=frame_rate_hz)
        stream.height, stream.width = frames.shape[1:3]
        # Half the colours' resolution needs even sides.
        odd = stream.height % 2 or stream.width % 2
        stream.pix_fmt = "yuv444p" if codec == "libx264" and odd else "yuv420p"
        stream.codec_context.time_base = Fraction(1, frame_rate_hz)
        # With more threads the slices, and with them the pixels, depend on the number of cores.
        stream.codec_context.thread_count = 1
        if codec == "libx264":
            # With a look ahead, x264 chooses otherwise from run to run.
            stream.options = {"crf": "19", "preset": "veryfast", "x264-params": "rc-lookahead=0:mbtree=0"}
        else:
            stream.codec_context.qmin = stream.codec_context.qmax = 2
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="gray" if frame.ndim == 2 else "rgb24")
            for packet in stream.encode(picture):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
