"""Inputs cannot make lusfx read other files: scripts, references and links are tried, and the kernel tells what is opened."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from lusfx.cache import Cache, record, sealed
from lusfx.errors import CorruptRecordError
from lusfx.types import ClipEmbeddings
from tests.faults.archive import extract, lusfx, plain_encoder, write_site_key
from tests.faults.sources import VIDEOS, Sound, dataset_of, sound_files
from tests.faults.sources import cine as frames_of
from tests.faults.watch import AVAILABLE, Watch
from tests.golden.make import DIM, FIRST

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not AVAILABLE, reason="only Linux tells which files are opened")]

ROW = "inputs cannot read other files"
CONTAINER_BOXES = frozenset({b"moov", b"trak", b"mdia", b"minf", b"dinf"})
JPIP = "1.2.840.10008.1.2.4.94"


@pytest.fixture(scope="module")
def sound() -> dict[str, Sound]:
    """A sound file of each ending."""
    return {one.suffix: one for one in sound_files()}


def scripts(target: str) -> Iterator[tuple[str, bytes]]:
    """Texts that FFmpeg takes for instructions to open other files, and one that Pillow hands to Ghostscript."""
    address = f"file://{target}" if target.startswith("/") else target
    yield "concat", f"ffconcat version 1.0\nfile '{target}'\n".encode()
    yield "playlist", f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n".encode()
    yield "master", f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{address}\n".encode()
    yield (
        "session",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=control:{address}\n".encode(),
    )
    dash = '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="video/mp4">'
    yield (
        "dash",
        f'{dash}<Representation id="1"><BaseURL>{address}</BaseURL></Representation></AdaptationSet></Period></MPD>'.encode(),
    )
    yield "imf", f'<?xml version="1.0"?><AssetMap><Path>{address}</Path></AssetMap>'.encode()
    yield "postscript", f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n({target}) run\n%%EOF\n".encode()
    yield "vector", f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}"/></svg>'.encode()


def with_reference(movie: bytes, target: str) -> bytes:
    """A QuickTime file whose media data lie in another file, by an alias record in ``dref``."""
    volume, name = b"volume", Path(target).name.encode()
    alias = (
        b"\0" * 10
        + bytes([len(volume)])
        + volume.ljust(27, b"\0")
        + b"\0" * 12
        + bytes([len(name)])
        + name.ljust(63, b"\0")
    )
    alias += b"\0" * 16 + struct.pack(">hh", 2, 2) + b"\0" * 16
    path = target.encode()
    alias += struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2) + struct.pack(">hH", -1, 0)
    entry = struct.pack(">L4sL", 12 + len(alias), b"alis", 0) + alias
    reference = struct.pack(">LL", 0, 1) + entry

    def rewritten(content: bytes) -> bytes:
        place, boxes = 0, []
        while place + 8 <= len(content):
            size, kind = struct.unpack(">L4s", content[place : place + 8])
            body = content[place + 8 : place + size]
            body = reference if kind == b"dref" else rewritten(body) if kind in CONTAINER_BOXES else body
            boxes.append(struct.pack(">L4s", 8 + len(body), kind) + body)
            place += size
        return b"".join(boxes)

    assert b"dref" in movie
    return rewritten(movie)


def dicom_directory(target: str) -> bytes:
    """A DICOM directory (PS3.3 F) that refers to a file."""
    from pydicom import Dataset, config, dcmwrite
    from pydicom.dataelem import DataElement
    from pydicom.sequence import Sequence
    from pydicom.uid import UID

    dataset = dataset_of(frames_of(1), 1)
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.1.3.10")
    item = Dataset()
    item.DirectoryRecordType = "IMAGE"
    # No sound name has a ".." or small letters in it, and pydicom would warn.
    parts = target.strip("/").split("/")
    item[0x00041500] = DataElement(0x00041500, "CS", parts, validation_mode=config.IGNORE)
    dataset.DirectoryRecordSequence = Sequence([item])
    del dataset.PixelData
    written = io.BytesIO()
    dcmwrite(written, dataset, enforce_file_format=True)
    return written.getvalue()


def provided_elsewhere(target: str) -> bytes:
    """A DICOM file whose pixels lie at an address (PS3.5 A.6)."""
    from pydicom import dcmwrite
    from pydicom.uid import UID

    dataset = dataset_of(frames_of(2), 2)
    del dataset.PixelData
    dataset.PixelDataProviderURL = f"file://{target}"
    dataset.file_meta.TransferSyntaxUID = UID(JPIP)
    written = io.BytesIO()
    dcmwrite(written, dataset, enforce_file_format=True, little_endian=True, implicit_vr=False)
    return written.getvalue()


def write_traps(folder: Path, canaries: Path, sound: dict[str, Sound]) -> int:
    """Files that refer to the canaries by relative and by absolute path, under every ending; how many there are."""
    folder.mkdir()
    suffixes = sorted({f".{suffix}" for suffix, *_ in VIDEOS} | {".png", ".jpg", ".tif", ".bmp", ".dcm", ""})
    written: dict[str, bytes] = {}
    for way, base in (("relative", os.path.relpath(canaries, folder)), ("absolute", str(canaries))):
        for suffix in suffixes:
            target = f"{base}/canary{suffix if suffix in sound else '.mp4'}"
            for kind, content in scripts(target):
                written[f"{way}-{kind}{suffix}"] = content
        written[f"{way}-reference.mov"] = with_reference(sound[".mov"].content, f"{base}/canary.mov")
        written[f"{way}-reference.mp4"] = with_reference(sound[".mp4"].content, f"{base}/canary.mp4")
        written[f"{way}-directory"] = dicom_directory(f"{base}/canary.dcm")
        written[f"{way}-directory.dcm"] = dicom_directory(f"{base}/canary.dcm")
        written[f"{way}-provider.dcm"] = provided_elsewhere(f"{base}/canary.dcm")
    for name, content in written.items():
        (folder / name).write_bytes(content)
    names = [
        f"concat:{os.path.relpath(canaries, folder).replace('/', '%2F')}.mp4",
        "subfile,,start,0,end,9,,:x.mp4",
        "%04d.png",
    ]
    for name in names:
        (folder / name).write_bytes(b"#EXTM3U\n")
    for suffix in sound:
        (folder / f"link{suffix}").symlink_to(canaries / f"canary{suffix}")
    (folder / "folder-link").symlink_to(canaries)
    return len(written) + len(names) + len(sound)


@pytest.fixture
def canaries(tmp_path: Path, sound: dict[str, Sound]) -> Path:
    """Sound files that nothing but the traps refers to."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for suffix, one in sound.items():
        (folder / f"canary{suffix}").write_bytes(one.content)
    return folder


@pytest.fixture
def watch(canaries: Path) -> Iterator[Watch]:
    watching = Watch(sorted(canaries.iterdir()))
    yield watching
    watching.close()


def test_no_source_makes_a_reader_open_another_file(
    tmp_path: Path, sound: dict[str, Sound], canaries: Path, watch: Watch, measured: Callable[..., None]
) -> None:
    write_site_key(tmp_path)
    encoder = plain_encoder(tmp_path)
    n_traps = write_traps(tmp_path / "exams", canaries, sound)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gs", "ffmpeg", "magick"):
        (programs / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/executed'\n")
        (programs / name).chmod(0o700)
    run = lusfx(
        tmp_path, "extract", "exams", "--cache", "cache", "--encoder", encoder, "--device", "cpu", "--json",
        PATH=f"{programs}:{os.environ['PATH']}",
    )  # fmt: skip
    assert run.code == 1, run.err  # none of them is a clip
    assert watch.opened() == []
    assert not (tmp_path / "executed").exists()
    facts = run.facts
    assert facts["found"] + facts["not_clips"] == n_traps
    for one in sound.values():
        assert run.embeddings_of(canaries / f"canary{one.suffix}") is None
    codes = [trouble["code"] for trouble in facts["troubles"]]
    assert codes.count("link-leaves-folder") == len(sound)
    measured(ROW, {"traps": n_traps, "other files opened": 0, "encoded": facts["encoded"]})


def test_the_watch_sees_what_is_opened(tmp_path: Path, sound: dict[str, Sound], canaries: Path, watch: Watch) -> None:
    write_site_key(tmp_path)
    assert extract(tmp_path, canaries, plain_encoder(tmp_path)).facts["encoded"] == len(sound)
    assert watch.opened() == sorted(f"canary{suffix}" for suffix in sound)


def test_the_traps_are_live(
    tmp_path: Path, sound: dict[str, Sound], canaries: Path, watch: Watch, measured: Callable[..., None]
) -> None:
    """FFmpeg, asked to open them by path and to guess what they are, opens the canaries."""
    import av

    write_traps(tmp_path / "exams", canaries, sound)
    guessing = {"safe": "0", "use_absolute_path": "1", "enable_drefs": "1"}
    n_live = 0
    for path in sorted(path for path in (tmp_path / "exams").iterdir() if not path.is_symlink()):
        try:
            with av.open(str(path), options=guessing) as opened:
                next(opened.decode(video=0), None)
        except (av.FFmpegError, OSError, IndexError):
            pass
        n_live += bool(watch.opened())
    assert n_live > 0
    measured("traps that are live", {"traps": n_live})


def test_a_manifest_is_the_users_own_list(tmp_path: Path, canaries: Path, watch: Watch) -> None:
    """It may name any file, as the command line may: docs/reliability.md says so."""
    write_site_key(tmp_path)
    (tmp_path / "exams").mkdir()
    lines = ["path", "../elsewhere/canary.mp4", str(canaries / "canary.avi"), "../nowhere/../elsewhere/canary.png", ""]
    (tmp_path / "exams" / "manifest.csv").write_text("\n".join(lines))
    run = lusfx(
        tmp_path, "extract", "exams/manifest.csv", "--cache", "cache", "--encoder", plain_encoder(tmp_path), "--json"
    )
    assert (run.code, run.facts["encoded"]) == (0, 3)
    assert set(watch.opened()) == {"canary.avi", "canary.mp4", "canary.png"}


# ---- cache files ----------------------------------------------------------------------------------------------------


def hostile_record(kind: str, canary: Path, key: str, fingerprint: str, folder: Path) -> bytes:
    """A clip's image, sealed as it should be, one of whose arrays lies in another file."""
    embeddings = np.zeros((4, DIM), np.float32)
    clip = ClipEmbeddings(embeddings, np.zeros(4), np.arange(4), np.zeros(4, np.uint8), {})
    file = folder / "hostile.h5"
    file.write_bytes(record.encode(key, fingerprint, clip, "float32"))
    with h5py.File(file, "r+", libver="latest") as image:
        del image["embeddings"]
        if kind == "external link":
            image["embeddings"] = h5py.ExternalLink(str(canary), "/embeddings")
        elif kind == "soft link":
            image["embeddings"] = h5py.SoftLink("/times_s")
        elif kind == "external storage":
            image.create_dataset("embeddings", (4, DIM), "<f4", external=[(str(canary), 0, 16 * DIM)])
        else:
            layout = h5py.VirtualLayout((4, DIM), "<f4")
            layout[:] = h5py.VirtualSource(str(canary), "embeddings", (4, DIM), "<f4")
            image.create_virtual_dataset("embeddings", layout)
    return file.read_bytes()


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "virtual dataset"])
def test_no_cache_file_makes_the_cache_open_another_file(kind: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary.h5"
    with h5py.File(canary, "w", libver="latest") as file:
        file["embeddings"] = np.ones((4, DIM), np.float32)
    spec = FIRST.store().spec
    store = Cache.open(tmp_path / "cache", create=True).store(spec)
    key = "ab" * 32
    image = hostile_record(kind, canary, key, store.fingerprint, tmp_path)
    store.path_of(key).parent.mkdir(parents=True)
    store.path_of(key).write_bytes(sealed.seal(image) + image)
    watching = Watch([canary])
    try:
        with pytest.raises(CorruptRecordError):
            store.read(key)
        assert watching.opened() == []
    finally:
        watching.close()
