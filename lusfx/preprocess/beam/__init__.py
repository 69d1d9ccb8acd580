"""The beam of a clip: which part of its frames the transducer insonated."""

from lusfx.preprocess.beam.search import Beam, find_beam, whole_frame
from lusfx.preprocess.beam.shapes import BeamShape

__all__ = ["Beam", "BeamShape", "find_beam", "whole_frame"]
