"""Preprocessing: Clip -> beam mask -> prepared frames. Declared whole in :class:`~lusfx.config.PreprocessSpec`."""

from lusfx.preprocess.beam import Beam, BeamShape, find_beam, whole_frame
from lusfx.preprocess.inspection import inspection_picture
from lusfx.preprocess.prepare import FrameTransform, PreparedClip, PreparedFrame, prepare

__all__ = [
    "Beam",
    "BeamShape",
    "FrameTransform",
    "PreparedClip",
    "PreparedFrame",
    "find_beam",
    "inspection_picture",
    "prepare",
    "whole_frame",
]
