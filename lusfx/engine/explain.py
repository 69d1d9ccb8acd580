"""Why the cache does or does not hold a clip's embeddings."""

from __future__ import annotations

from pathlib import Path

from lusfx.arguments import optional_path
from lusfx.cache import Cache, Explanation, clip_key
from lusfx.cache import explain as explain_key
from lusfx.config import Precision
from lusfx.contracts import EncoderRequest
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.opening import open_encoder
from lusfx.plugins import load_registry


def explain(
    clip: Path | str,
    cache: Path | str,
    *,
    encoder: str | Path = DEFAULT_ENCODER,
    weights: Path | str | None = None,
    precision: Precision = "float32",
    fps: float | None = None,
) -> Explanation:
    """Say whether ``extract`` with this encoder, precision and ``fps`` would take a clip from the cache, and if not, which
    field of the feature spec differs from what the cache holds.

    :param clip: one source file.
    :raises UnreadableClipError: if the file cannot be read.
    """
    request = EncoderRequest(str(encoder), optional_path(weights), device="cpu", precision=precision, download=False)
    opened = open_encoder(request, load_registry())
    return explain_key(Cache.open(Path(cache)), clip_key(Path(clip)), opened.feature_spec.sampled(fps))
