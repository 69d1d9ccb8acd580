"""A cine, and files of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmwrite
from pydicom.dataset import FileDataset

from tests.readers.make import Frames, make_cine


@pytest.fixture
def cine() -> Frames:
    return make_cine()


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[[FileDataset], Path]:
    """Writes a dataset to a file of its own."""
    written = []

    def write(dataset: FileDataset) -> Path:
        path = tmp_path / f"clip-{len(written)}.dcm"
        written.append(path)
        dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return write
