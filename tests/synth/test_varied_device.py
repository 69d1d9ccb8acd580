"""The varied site: each patient has a machine of its own, of which all can be drawn, written and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lusfx.cli.synth import command
from lusfx.readers.video import VideoReader
from lusfx.site_key import SiteKey
from lusfx.synth import DEVICES, SITES, Device, simulate
from lusfx.synth.archive import PlannedClip, plan_patient
from lusfx.synth.conditions import CLEAR
from lusfx.synth.varied_device import CLEAR_MACHINES, HARD_MACHINES, NAME, MachineRanges, draw_device
from lusfx.tables import read_table

N_PATIENTS = 60
VARIED = SITES["varied"]


@pytest.fixture(scope="module")
def plans() -> list[PlannedClip]:
    """The first clip of many patients."""
    return [next(plan_patient(VARIED, patient, 1, seed=0)) for patient in range(1, N_PATIENTS + 1)]


def test_every_patient_has_another_machine(plans: list[PlannedClip]) -> None:
    devices = [plan.look.device for plan in plans]
    assert len(set(devices)) == N_PATIENTS
    assert {device.name for device in devices} == {NAME}
    assert NAME not in DEVICES
    for fact in (
        lambda device: device.placement,
        lambda device: device.dynamic_range_db,
        lambda device: device.gamma,
        lambda device: device.noise_db,
        lambda device: device.grain,
        lambda device: device.transducers,
    ):
        assert len({fact(device) for device in devices}) == N_PATIENTS


@pytest.mark.parametrize("ranges", [CLEAR_MACHINES, HARD_MACHINES])
def test_a_generator_gives_its_machine(ranges: MachineRanges) -> None:
    def drawn(seed: int) -> Device:
        return draw_device(np.random.default_rng(seed), ranges)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_the_clear_site_has_the_same_patients_who_are_easier_to_read(plans: list[PlannedClip]) -> None:
    """Zones, findings and diseases are the same, clip by clip; conditions, texture and cut faces are the hard site's alone."""
    clear = [next(plan_patient(SITES["varied-clear"], patient, 1, seed=0)) for patient in range(1, N_PATIENTS + 1)]
    assert [plan.finding for plan in clear] == [plan.finding for plan in plans]
    for plan in clear:
        assert plan.look.conditions == CLEAR
        assert plan.look.device.texture is None
        assert plan.look.device.placement.face_cut == 0
    assert all(plan.look.conditions != CLEAR and plan.look.device.texture for plan in plans)
    assert any(plan.look.device.placement.face_cut > 1 for plan in plans)


def test_a_patients_clips_are_all_of_one_machine_and_a_seed_gives_the_same(plans: list[PlannedClip]) -> None:
    of_patient = list(plan_patient(VARIED, 1, 6, seed=0))
    assert {clip.look for clip in of_patient} == {plans[0].look}
    assert next(plan_patient(VARIED, 1, 1, seed=1)).look != plans[0].look


def test_frames_have_even_sides_and_a_beam_within_them(plans: list[PlannedClip]) -> None:
    """As the video's codecs want them."""
    for plan in plans:
        placement = plan.look.device.placement
        assert placement.width % 2 == placement.height % 2 == 0
        assert 0 <= placement.x0 < placement.x1 <= placement.width
        assert 0 <= placement.y0 < placement.y1 <= placement.height


@pytest.mark.slow
def test_every_probe_of_many_machines_can_be_drawn(plans: list[PlannedClip]) -> None:
    assert {plan.look.probe for plan in plans} == set(VARIED.probes) == {"convex", "linear", "phased"}
    shares = []
    for plan in plans:
        clip = simulate(plan.look, plan.finding.findings, seed=plan.seed, n_frames=1)
        placement = plan.look.device.placement
        assert clip.frames.shape == (1, placement.height, placement.width)
        assert clip.frames.dtype == np.uint8
        inside = clip.frames[0][clip.inside]
        assert inside.std() > 4, plan.look  # there is a picture
        assert inside.mean() < 230, plan.look
        shares.append(clip.inside.mean())
    assert min(shares) > 0.1
    assert np.ptp(shares) > 0.2  # beams differ


def test_an_archive_is_written_and_read_back(tmp_path: Path, site_key: SiteKey) -> None:
    arguments = [str(tmp_path), "--patients", "4", "--clips", "2", "--frames", "2", "--site", "varied"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "8 synthetic clips of 4 synthetic patients of the site 'varied'" in result.output
    rows = read_table(tmp_path / "labels.csv")
    assert {row["patient_id"] for row in rows} == {f"synthetic-varied-{number:04}" for number in range(1, 5)}
    assert {(row["site"], row["device"]) for row in rows} == {("varied", NAME)}
    shapes = set()
    for row in rows:
        with VideoReader().open(tmp_path / row["path"], site_key) as clip:
            frames = list(clip.frames())
        assert len(frames) == 2
        assert all(frame.pixels is not None and frame.pixels.std() > 4 for frame in frames)
        shapes.add((row["patient_id"], np.shape(frames[0].pixels)))
    assert len(shapes) == 4  # both clips of a patient have one layout
