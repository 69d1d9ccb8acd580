"""Check an installation: what is there, what is missing, and whether the main path works on this machine."""

from __future__ import annotations

import os
import platform
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from lusfx.cache import Cache
from lusfx.contracts import EncoderRequest
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.census import MAX_SKIPPED
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.extraction.survey import Survey, survey
from lusfx.errors import LusfxError
from lusfx.messages import counted, short, system_reason
from lusfx.plugins import load_registry
from lusfx.site_key import SECRET_BYTES, SiteKey, site_key_file
from lusfx.version import __version__

BASE = ("av", "h5py", "lightgbm", "numpy", "onnxruntime", "pillow", "pyarrow", "pydicom", "safetensors", "scikit-learn")
CODECS = ("pyjpegls", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm")
EXTRAS = {"train": ("torch",), "timm": ("timm", "torch", "onnx", "onnxscript"), "openvino": ("openvino", "onnx")}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    :param state: ``ok``, ``absent`` (only an extra lacks) or ``wrong``.
    """

    name: str
    state: str
    detail: str


def doctor(cache: Path | None = None) -> list[Check]:
    """Look at everything; a check that fails never hides another.

    :param cache: a cache to look at as well.
    """
    return [*_machine(), *_packages(), _site_key(), *_plugins(), _encoder(), *(_cache(cache) if cache else [])]


def survey_sources(places: Sequence[Path | str]) -> Survey:
    """Look at an archive before it is encoded; see :func:`lusfx.engine.extraction.survey.survey`.

    :param places: folders, files and manifests.
    """
    registry = load_registry()
    spec = open_encoder(EncoderRequest(DEFAULT_ENCODER, device="cpu"), registry).preprocess
    # Pseudonyms are made and thrown away, so the site's own key is neither needed nor begun.
    return survey([Path(place) for place in places], spec, registry, SiteKey(secrets.token_bytes(SECRET_BYTES)))


def checks_of(found: Survey) -> list[Check]:
    """What there is to say of an archive's sources."""
    share = found.picture_share
    codes = ", ".join(f"{code} {n}" for code, n in [*found.skipped.most_common(), *found.failed.most_common()])
    n_skipped, n_failed = found.skipped.total(), found.failed.total()
    detail = f"{found.found} found = {found.readable} readable + {n_skipped} skipped + {n_failed} failed"
    checks = [Check("sources", "wrong" if found.failed else "ok", f"{detail} ({codes})" if codes else detail)]
    if share.exceeds(MAX_SKIPPED):
        checks.append(Check("pictures", "wrong", share.sentence(MAX_SKIPPED)))
    else:
        checks.append(Check("pictures", "ok", f"{share.n_lost} of {share.n} would be skipped or left out"))
    return checks


def _machine() -> Iterator[Check]:
    yield Check("lusfx", "ok", f"{__version__}, Python {platform.python_version()} on {sys.platform}")
    yield Check("processors", "ok", str(os.cpu_count()))


def _packages() -> Iterator[Check]:
    for name in (*BASE, *CODECS):
        found = _version(name)
        yield Check(name, "ok" if found else "wrong", found or "missing. Run: pip install lusfx")
    for extra, names in EXTRAS.items():
        missing = [name for name in names if _version(name) is None]
        detail = f"lacks {', '.join(missing)}. Run: pip install 'lusfx[{extra}]'" if missing else "installed"
        yield Check(f"extra '{extra}'", "absent" if missing else "ok", detail)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _site_key() -> Check:
    file = site_key_file()
    if not file.exists():
        return Check("site key", "ok", "not made yet; the first extraction makes it")
    try:
        check = SiteKey.load(file).check
    except LusfxError as error:
        return Check("site key", "wrong", str(error))
    if os.name != "nt" and stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Check("site key", "wrong", "others can read it. Run: chmod 600 on the file")
    return Check("site key", "ok", f"{check}, readable by its owner only")


def _plugins() -> Iterator[Check]:
    registry = load_registry()
    yield Check("tasks", "ok" if registry.tasks.names() else "absent", ", ".join(registry.tasks.names()) or "none")
    for plugin in registry.failures:
        yield Check(f"plugin '{plugin.name}'", "wrong", f"{plugin.distribution}: {plugin.error}")
    for catalogue in (registry.tasks, registry.encoders, registry.recipes, registry.heads, registry.readers):
        for name, owners in sorted(catalogue.clashes.items()):
            claimed = f"claimed by {' and by '.join(owners)}; neither can be used. Remove one"
            yield Check(f"{catalogue.kind} '{name}'", "wrong", claimed)


def _encoder() -> Check:
    """Encode a fixed picture with the default encoder."""
    try:
        encoder = open_encoder(EncoderRequest(DEFAULT_ENCODER), load_registry())
        size = encoder.preprocess.size
        ramp = np.add.outer(np.arange(size), np.arange(size)).astype(np.uint8)
        embeddings = encoder.encode(np.stack([ramp, ramp.T[::-1]]))
    except LusfxError as error:
        return Check("encoder", "wrong", str(error))
    if not np.isfinite(embeddings).all():
        return Check("encoder", "wrong", "the embeddings are not finite")
    fingerprint = short(encoder.feature_spec.fingerprint)
    return Check("encoder", "ok", f"{encoder.name} on {encoder.runtime}, fingerprint {fingerprint}")


def _cache(directory: Path) -> Iterator[Check]:
    """The cache, and whether the site key here is the one that its pseudonyms were made with."""
    try:
        if not directory.exists() or not any(directory.iterdir()):
            yield Check("cache", "absent", "not begun yet; the first extraction makes it")
            return
        cache = Cache.open(directory)
        n_stores, known = len(cache.stores()), cache.site_keys()
    except OSError as error:
        yield Check("cache", "wrong", f"it cannot be read: {system_reason(error)}")
        return
    except LusfxError as error:
        yield Check("cache", "wrong", str(error))
        return
    writable = os.access(directory, os.W_OK)
    yield Check("cache", "ok", f"{counted(n_stores, 'fingerprint')}, {'writable' if writable else 'read-only'}")
    if known:
        yield _cache_key(cache)


def _cache_key(cache: Cache) -> Check:
    name = "cache's site key"
    try:
        cache.require_site_key(SiteKey.load(make=False))
    except LusfxError as error:
        return Check(name, "wrong", str(error))
    others = len(cache.site_keys()) - 1
    also = f"; {counted(others, 'other')} was used as well, whose patients are not recognised" if others else ""
    return Check(name, "ok", f"the one in use here{also}")
