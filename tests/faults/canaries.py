"""Exams in which everything that could name a patient is a canary, and the search for canaries in what came of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.sources import EXPLICIT, IMPLICIT, JPEG, cine, dataset_of

WORD = "Zqcanaryzq"
"""In every text: names, identifiers, file names, cells."""
DIGITS = "739182645"
"""In every number and identifier of digits."""
DATE, TIME = "19370429", "041737"

VALUES = {
    "AE": WORD,
    "AS": "087Y",
    "CS": WORD.upper(),
    "DA": DATE,
    "DS": f"{DIGITS}.5",
    "DT": DATE + TIME,
    "IS": DIGITS,
    "LO": f"{WORD} long",
    "LT": f"{WORD} long text",
    "PN": f"{WORD}^Jane^^Dr",
    "SH": WORD,
    "ST": f"{WORD} short text",
    "TM": TIME,
    "UC": f"{WORD} unlimited",
    "UI": f"1.2.{DIGITS}",
    "UR": f"http://{WORD}/",
    "UT": f"{WORD} unlimited text",
}
"""A canary for each value representation that holds text (PS3.5 6.2)."""
NEEDED = frozenset(
    (
        "PhotometricInterpretation",
        "Modality",
        "NumberOfFrames",
        "FrameTime",
        "SpecificCharacterSet",
        "SOPClassUID",
        "FrameTimeVector",
    )
)
"""What a file could not be read without."""


def filled(dataset: Any) -> Any:
    """Put a canary into every element of a dataset that holds text, and into a nested copy and private elements.

    :returns: the dataset; it has some 2,500 elements then.
    """
    from pydicom import Dataset, config
    from pydicom.datadict import DicomDictionary
    from pydicom.dataelem import DataElement
    from pydicom.sequence import Sequence

    item = Dataset()
    for tag, (representation, _, _, _, keyword) in DicomDictionary.items():
        value = VALUES.get(representation)
        if value is None or tag >> 16 in (0x0000, 0x0002, 0x0004, 0x7FE0) or keyword in NEEDED or tag >> 16 > 0x5000:
            continue
        element = DataElement(tag, representation, value, validation_mode=config.IGNORE)
        item[tag] = element
        if tag not in dataset:
            dataset[tag] = element
    for target in (dataset, item):
        block = target.private_block(0x0011, WORD.upper(), create=True)
        for number, representation in enumerate(("LO", "PN", "UT", "UN"), start=1):
            value = WORD.encode() if representation == "UN" else VALUES[representation]
            block.add_new(number, representation, value)
    dataset.PatientName, dataset.PatientBirthDate, dataset.AccessionNumber = VALUES["PN"], DATE, WORD
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{DIGITS}.1", f"1.2.{DIGITS}.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"1.2.{DIGITS}.3"
    dataset.ReferencedPatientSequence = Sequence([item])
    return dataset


def dicom_of(patient: int, clip: int, *, bright: bool) -> bytes:
    """A clip of a patient whose frames' brightness is what is to be learnt."""
    import warnings

    from pydicom import config, dcmwrite
    from pydicom.uid import UID

    noise = np.random.default_rng((patient, clip)).integers(0, 40, (6, 48, 64))
    frames = (cine(clip) // 3 + noise + (90 if bright else 0)).astype(np.uint8)
    dataset = filled(dataset_of(frames, 1000 + 10 * patient + clip))
    dataset.PatientID = f"{WORD}-{patient}"
    dataset.StudyInstanceUID = f"1.2.{DIGITS}.{patient + 10}"
    syntax = (EXPLICIT, IMPLICIT)[patient % 2]
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    written = io.BytesIO()
    mode, config.settings.writing_validation_mode = config.settings.writing_validation_mode, config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcmwrite(written, dataset, enforce_file_format=True, implicit_vr=syntax == IMPLICIT, little_endian=True)
    finally:
        config.settings.writing_validation_mode = mode
    return written.getvalue()


def write_exams(folder: Path, first: int, n_patients: int) -> Path:
    """Two clips of each patient, and their label table; names, cells and all are canaries."""
    place = folder / f"{WORD} Jane {DATE}"
    place.mkdir(parents=True)
    lines = ["path,patient_id,exam_id,a_lines,b_lines,remark"]
    for patient in range(first, first + n_patients):
        for clip in range(2):
            bright = patient % 2 == 0
            name = f"{WORD}_{DIGITS}_{patient}_{clip}.dcm"
            (place / name).write_bytes(dicom_of(patient, clip, bright=bright))
            cells = (
                name,
                f"{WORD}-{DIGITS}-{patient}",
                f"{WORD}-exam-{patient}",
                int(not bright),
                int(bright),
                f"{WORD} says",
            )
            lines.append(",".join(map(str, cells)))
    labels = place / f"{WORD}.csv"
    labels.write_text("\n".join(lines) + "\n")
    return labels


def write_bad_files(folder: Path) -> None:
    """Files with canaries in them, and in their names, that make readers complain."""
    sound = dicom_of(500, 0, bright=True)
    head = f"{WORD} {DATE} {DIGITS}".encode()
    contents = {
        "text.mp4": head,
        "text.dcm": b"\0" * 128 + b"DICM" + head,
        "text.png": b"\x89PNG\r\n\x1a\n" + head,
        "empty.avi": b"",
        "cut.dcm": sound[: len(sound) // 2],
        "late.dcm": sound[:-5000],
        "syntax.dcm": sound.replace(EXPLICIT.encode(), JPEG[:19].encode(), 1),
        "charset.dcm": sound.replace(b"MONOCHROME2", f"{WORD}2".encode()),
        "modality.dcm": sound.replace(b"CS\x02\0US", b"CS\x02\0ZQ"),
        "frames.dcm": sound.replace(b"IS\x02\x006 ", b"IS\x02\0Zq"),
        "no ending": b"\0" * 128 + b"DICM" + head,
        "moov.mp4": b"\0\0\0\x18ftypisom" + head * 20,
        "script.mp4": b"ffconcat version 1.0\nfile '" + head + b"'\n",
    }
    for name, content in contents.items():
        (folder / f"{WORD} {name}").write_bytes(content)


# ---- the search -----------------------------------------------------------------------------------------------------


def forms(text: str) -> Iterator[bytes]:
    """The bytes that a text may lie hidden as."""
    for written in {text, text.upper(), text.lower()}:
        plain = written.encode()
        yield plain
        yield written.encode("utf-16-le")
        yield written.encode("utf-16-be")
        yield plain.hex().encode()
        yield plain.hex().upper().encode()
        for shift in range(3):  # base64 of a text that stands anywhere in another one, less the ends that depend on it
            yield base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4]


NEEDLES = sorted({form for text in (WORD, DIGITS, DATE) for form in forms(text)})


def found_in(content: bytes) -> list[bytes]:
    """Which canaries are in some bytes."""
    return [needle for needle in NEEDLES if needle in content]


def unpacked(path: Path) -> bytes:
    """A file's bytes, and those that lie compressed in it where it is a table or an array file."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        from pyarrow import parquet

        content += repr(parquet.read_table(path).to_pydict()).encode()
    return content


def hits_below(folder: Path) -> list[str]:
    """Which files hold a canary, or are named by one; folders too."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if found_in(name.encode()) or (path.is_file() and found_in(unpacked(path))):
            found.append(name)
    return found
