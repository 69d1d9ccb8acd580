"""Who comes with what: findings follow from the disease, looks say nothing of it, and sites differ in both."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lusfx.errors import UsageError
from lusfx.synth import SITES
from lusfx.synth.archive import PlannedClip, plan_patient
from lusfx.synth.case_mix import B_LINES_OF_SEVERITY
from lusfx.synth.site import site_named

N_PATIENTS = 600
N_CLIPS = 6
INDEPENDENT = 3.5 / np.sqrt(N_PATIENTS)
"""Three and a half standard errors of a correlation of nought."""


@pytest.fixture(scope="module", params=SITES)
def plans(request: pytest.FixtureRequest) -> list[list[PlannedClip]]:
    """What is to be drawn of many patients of a site."""
    site = SITES[request.param]
    return [list(plan_patient(site, patient, N_CLIPS, seed=0)) for patient in range(1, N_PATIENTS + 1)]


def test_shares_add_up() -> None:
    for site in SITES.values():
        for shares in (site.devices, site.probes, site.diseases):
            if shares or site.name not in {"varied", "varied-clear"}:  # there each patient has a machine of its own
                assert sum(shares.values()) == pytest.approx(1)


def test_the_look_is_the_patients(plans: list[list[PlannedClip]]) -> None:
    for clips in plans:
        assert len({clip.look for clip in clips}) == 1
        assert len({clip.seed for clip in clips}) == N_CLIPS
    assert len({clips[0].look for clips in plans}) == N_PATIENTS


def test_no_look_tells_a_label(plans: list[list[PlannedClip]]) -> None:
    looks = [clips[0].look for clips in plans]
    nuisances = {
        "depth": [look.depth_mm / look.transducer.half_width_mm(0) for look in looks],
        "gain": [look.gain_db for look in looks],
        "attenuation": [look.attenuation_db_mm for look in looks],
        "wall": [look.habitus.wall_mm for look in looks],
        "fat": [look.habitus.fat_share for look in looks],
        "echo": [look.habitus.echo_db for look in looks],
        "bend": [look.habitus.bend for look in looks],
    }
    devices = [look.device for look in looks]
    if SITES[plans[0][0].site].devices:
        nuisances |= {name: [device.name == name for device in devices] for name in {device.name for device in devices}}
    else:  # each is another, and is known by what it does to the picture
        nuisances |= {
            "side": [device.placement.width for device in devices],
            "frame rate": [device.frame_rate_hz for device in devices],
            "dynamic range": [device.dynamic_range_db for device in devices],
            "gamma": [device.gamma for device in devices],
            "noise": [device.noise_db for device in devices],
            "persistence": [device.persistence for device in devices],
            "grain": [device.grain.lateral_mm for device in devices],
        }
    nuisances |= {kind: [look.probe == kind for look in looks] for kind in ("convex", "linear", "phased")}
    labels = {
        "b_lines": [np.mean([clip.finding.findings.b_lines for clip in clips]) for clips in plans],
        "a_lines": [np.mean([clip.finding.findings.a_lines for clip in clips]) for clips in plans],
        "effusion": [np.mean([clip.finding.findings.effusion_mm > 0 for clip in clips]) for clips in plans],
        "consolidation": [np.mean([clip.finding.findings.consolidation_mm > 0 for clip in clips]) for clips in plans],
        "pleural": [np.mean([clip.finding.findings.view == "pleural" for clip in clips]) for clips in plans],
    }
    for nuisance, drawn in nuisances.items():
        for label, answers in labels.items():
            assert abs(np.corrcoef(np.array(drawn, float), answers)[0, 1]) < INDEPENDENT, (nuisance, label)


def test_findings_follow_from_disease_and_zone(plans: list[list[PlannedClip]]) -> None:
    for clip in (clip for clips in plans for clip in clips):
        findings, zone = clip.finding.findings, clip.finding.zone
        if findings.view == "pleural":
            assert zone.endswith("3")
            assert findings.organ == ("liver" if zone.startswith("R") else "spleen")
        if clip.disease == "healthy":
            assert (clip.finding.severity, findings.b_lines, findings.effusion_mm) == (0, 0, 0)
        if findings.effusion_mm:
            assert clip.disease in {"effusion", "heart-failure", "pneumonia"}
        if clip.finding.severity is None:
            assert findings.effusion_mm or clip.disease == "pneumothorax"
        elif not findings.consolidation_mm:
            fewest, too_many = B_LINES_OF_SEVERITY[clip.finding.severity]
            assert fewest <= findings.b_lines < too_many
        if clip.disease == "pneumothorax" and not findings.sliding:
            assert findings.a_lines
            assert not findings.b_lines
            assert not findings.pulse


def test_diseases_have_their_shares(plans: list[list[PlannedClip]]) -> None:
    site = SITES[plans[0][0].site]
    counts = Counter(clips[0].disease for clips in plans)
    for disease, share in site.diseases.items():
        assert counts[disease] / N_PATIENTS == pytest.approx(share, abs=0.01)


def test_few_patients_have_nearly_all_diseases(plans: list[list[PlannedClip]]) -> None:
    for start in range(0, 60, 12):
        assert len({clips[0].disease for clips in plans[start : start + 12]}) >= 5


def test_clips_of_one_patient_need_not_agree(plans: list[list[PlannedClip]]) -> None:
    spread = [np.ptp([clip.finding.severity for clip in clips if clip.finding.severity is not None]) for clips in plans]
    assert 0.3 < np.mean(np.array(spread) > 0) < 0.9


def test_six_clips_are_an_exam(plans: list[list[PlannedClip]]) -> None:
    assert all({clip.finding.zone for clip in clips} == {"L1", "L2", "L3", "R1", "R2", "R3"} for clips in plans)
    longer = list(plan_patient(SITES["local"], 1, 8, seed=0))
    assert [clip.exam_number for clip in longer] == [1] * 6 + [2] * 2
    assert longer[0].exam_id != longer[-1].exam_id


def test_sites_share_no_machine_and_differ_in_depth_and_disease() -> None:
    local, external = SITES["local"], SITES["external"]
    assert not set(local.devices) & set(external.devices)
    assert local.diseases != external.diseases
    for patient in range(1, 20):
        ours, theirs = (next(plan_patient(site, patient, 1, seed=0)) for site in (local, external))
        assert ours.patient_id != theirs.patient_id
        assert ours.look != theirs.look


def test_an_unknown_site_is_refused() -> None:
    with pytest.raises(UsageError, match="there are: local, external"):
        site_named("elsewhere")
