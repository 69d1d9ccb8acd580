"""The script that makes the starter models: what it keeps and drops, and a tiny run of it from the simulator to a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lusfx.heads import lusfx_register_heads
from lusfx.synth import write_archive
from lusfx.task_model import load_task_model

pytest.importorskip("lusfx_view", reason="the script needs the plugins of this repository")


def judgement(tool: Any, *lows: float, stand_in: bool = False) -> Any:
    facts = {"n_units": 40, "n_events": 12, "n_patients": 20}
    outcomes = {
        f"outcome {number}": facts | {"roc_auc": {"value": low + 0.1, "low": low, "high": low + 0.2}}
        for number, low in enumerate(lows)
    }
    return tool.Judged("a set", outcomes, stand_in)


def test_a_model_is_kept_where_every_table_and_outcome_is_above_the_limit(tool: Any) -> None:
    good, bad = judgement(tool, 0.61, 0.7), judgement(tool, 0.7, 0.6)
    assert tool.passes([good])
    assert tool.passes([good, good])
    assert not tool.passes([good, bad])
    assert not tool.passes([judgement(tool, float("nan"))])


def test_guessed_labels_count_for_nothing(tool: Any) -> None:
    guessed = judgement(tool, 0.9, stand_in=True)
    assert not tool.passes([guessed])
    assert not tool.passes([])
    assert tool.passes([judgement(tool, 0.7), judgement(tool, 0.1, stand_in=True)])


def test_the_documents_table_has_a_row_an_outcome_and_data_set(tool: Any) -> None:
    told = tool.markdown(
        {"b-lines": [judgement(tool, 0.7)], "view": [judgement(tool, 0.5, stand_in=True)]}
    ).splitlines()
    assert told[2:] == [
        "| b-lines | outcome 0 | a set | 12 of 40 | 20 | 0.800 (0.700 to 0.900) | yes |",
        "| view | outcome 0 | a set, by zone | 12 of 40 | 20 | 0.600 (0.500 to 0.700) | no |",
    ]


def test_a_place_with_something_else_is_left_alone(tool: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit, match="something else"):
        tool.check_place(tmp_path)


@pytest.mark.slow
def test_a_tiny_run_writes_models_that_only_order(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "TASKS", ("b-lines", "view"))
    monkeypatch.setattr(tool, "FRAMES", 2)
    monkeypatch.setattr(tool, "LOWEST", 0.0)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    table = write_archive(tmp_path / "others", n_patients=12, clips_per_patient=3, n_frames=2, seed=5)
    out = tmp_path / "out"
    arguments = [str(out), "--patients", "30", "--work", str(tmp_path / "work"), "--judge", str(table)]
    monkeypatch.setattr("sys.argv", ["make_starter_models", *arguments])
    tool.main()
    printed = capsys.readouterr().out
    assert "| b-lines | B-lines | others |" in printed
    heads = {spec.name: spec for spec in lusfx_register_heads()}
    first = {}
    for name in tool.TASKS:
        model = load_task_model(out / name, heads)
        assert model.card.orders_only
        assert model.card.training.n_patients == 30
        assert f"{model.card.training.created:%Y-%m-%d %H:%M}" == "2023-11-14 00:00"
        assert model.card.task.abstain.familiar is None
        (outcome,) = model.card.outcomes
        evidence = model.evidence["outcomes"][outcome.name]
        assert evidence["metrics"] == {}
        (on_others,) = evidence["judged"]
        assert (on_others["data"], on_others["n_units"] <= 36) == ("others", True)
        assert model.evidence["patients"] == []
        assert len(model.evidence["clips"]) > 100
        assert all(path.stat().st_mode & 0o044 == 0o044 for path in (out / name).iterdir())
        first[name] = model.digest
    tool.main()  # over its own models, from what is there
    assert {name: load_task_model(out / name, heads).digest for name in tool.TASKS} == first
