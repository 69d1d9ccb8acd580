"""The bar of commands with several stages: shown on a terminal, absent in a pipe."""

from __future__ import annotations

import io
import sys

import pytest

from lusfx.cli.bar import Stand, bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def stand(done: int) -> Stand:
    return Stand("decode", done, 3, "clips") if done < 3 else Stand("train", 1, 7, "steps")


def test_a_terminal_is_shown_the_stage_with_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with bar(stand) as show:
        assert show is not None
        show(2)
        show(3)
    assert "train" in terminal.getvalue()
    assert "1/7" in terminal.getvalue()
    assert "steps" in terminal.getvalue()


@pytest.mark.parametrize(("stream", "is_wanted"), [(io.StringIO(), True), (Terminal(), False)])
def test_a_pipe_is_shown_nothing_and_neither_who_wants_none(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, is_wanted: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with bar(stand, is_wanted) as show:
        assert show is None
    assert stream.getvalue() == ""


def test_time_is_counted_for_a_stage_and_what_is_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with bar(lambda done, of: Stand("train", done, of, f"epoch {done}", 3725.0)) as show:
        assert show is not None
        show(1, 7)
        show(2, 7)
    assert "epoch 2" in terminal.getvalue()
    assert "1:02:05 left" in terminal.getvalue()


def test_where_there_is_no_error_stream_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with bar(stand) as show:
        assert show is None
