"""From a label table to labelled frames: what becomes of a labelled clip that cannot be decoded."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lusfx.contracts import Task
from lusfx.fine_tuning.reading import SampleReader
from lusfx.site_key import SiteKey
from tests.engine.extraction.decoding.conftest import SPEC, install_script_registry


class Bright(Task):
    """Is the clip bright?"""

    name = "bright"
    label_columns = ("bright",)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="decoding processes are POSIX")
def test_a_clip_that_kills_its_decoder_is_a_clip_without_frames(
    tmp_path: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = install_script_registry(tmp_path / "site", monkeypatch)
    monkeypatch.setenv("LUSFX_WORKERS", "1")
    rows = ["path,patient_id,bright"]
    for number, script in enumerate(["1 2 3", "4 segfault", "200 201"]):
        (tmp_path / f"{number}.script").write_text(script)
        rows.append(f"{number}.script,patient-{number},{number // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    reader = SampleReader(
        Bright(), tmp_path / "labels.csv", tmp_path / "work", SPEC, 4, registry, site_key, None, threading.Event(),
        trust_table=True,  # the made-up files all name one patient
    )  # fmt: skip
    found = reader.read()
    assert found is not None
    assert found.samples.targets.ravel().tolist() == [0, 1]
    assert found.n_not_decoded == 1
    assert list(found.warnings) == ["1 labelled clips could not be decoded: 1 failed: decoder-died"]
