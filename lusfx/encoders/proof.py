"""Which graph an encoder's identity means, and the proof that the file in its directory is that one.

A fingerprint must mean one function of images. New identities have the digest of their graph. Those of before mean what timm
makes of the weights; of such a directory the graph is known to lusfx, or it is made again from the weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lusfx.backbone import FAMILY
from lusfx.encoders.batch import CheckedCompute
from lusfx.encoders.card import GRAPH, WEIGHTS, EncoderCard, parse_weights, read_file
from lusfx.encoders.known_graphs import known_graph
from lusfx.encoders.onnx_runtime import load_onnx
from lusfx.encoders.probe import LIMITS, difference, probe_image
from lusfx.errors import EncoderError, MissingExtraError


def proven_graph(directory: Path, card: EncoderCard) -> bytes:
    """The graph that the identity of a card means, for any runtime that computes graphs.

    :raises EncoderError: if the directory's graph computes something else, or nothing proves it.
    :raises MissingExtraError: if the graph must be made again, which needs torch and timm.
    """
    content = read_file(directory, card, GRAPH)
    if card.identity.graph_sha256 is not None or known_graph(card.identity) is not None:
        return content  # parse_card has compared the digests
    if WEIGHTS not in card.files or not card.identity.architecture.startswith(FAMILY):
        raise EncoderError(
            f"encoder {card.name}: nothing proves its graph, since its card has no identity.graph_sha256. Make the directory "
            "again, with lusfx.encoders.conversion"
        )
    return _made_again(directory, card, content)


def _made_again(directory: Path, card: EncoderCard, content: bytes) -> bytes:
    """The graph that the installed torch and timm make of the weights, of which the directory's must be a likeness.

    Images prove no graph, so the one that was made is computed.
    """
    try:
        from lusfx.encoders.export import export

        weights = parse_weights(read_file(directory, card, WEIGHTS), card)
        graph, _ = export(card.identity, weights, card.preprocess.size)
    except MissingExtraError:
        raise MissingExtraError(
            f"encoder {card.name} was written by an earlier lusfx, and to prove its graph", "timm"
        ) from None
    pattern = probe_image(card.preprocess.size)
    images = np.stack([pattern, 255 - pattern, pattern.T[::-1], 0 * pattern, 0 * pattern + 255])
    found, expected = (CheckedCompute(load_onnx(directory, card, 1, each), card)(images) for each in (content, graph))
    if not difference(found, expected) <= LIMITS["float32"]:
        raise EncoderError(
            f"encoder {card.name}: its graph does not compute what its weights, layer and normalisation say. Take the "
            "directory anew from where it was made"
        )
    return graph
