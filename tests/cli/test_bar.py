"""The bar of commands with several stages: shown on a terminal; a line a minute in a pipe."""

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


@pytest.mark.parametrize("is_a_terminal", [True, False])
def test_who_wants_none_is_shown_nothing(monkeypatch: pytest.MonkeyPatch, is_a_terminal: bool) -> None:
    stream = Terminal() if is_a_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with bar(stand, is_wanted=False) as show:
        assert show is None
    assert stream.getvalue() == ""


def test_a_log_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, too: of a long work, with what is left by its pace; of a short one nothing."""
    stream, now = io.StringIO(), [1000.0]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("lusfx.cli.bar.time.monotonic", lambda: now[0])
    with bar(lambda done: Stand("encode", done, 9, "clips")) as show:
        assert show is not None
        for done in range(10):
            show(done)
            now[0] += 30
    assert stream.getvalue().splitlines() == [
        f"encode: {done} of 9 clips, about 0:0{left} left"
        for done, left in [(2, "3:30"), (4, "2:30"), (6, "1:30"), (8, "0:30")]
    ]


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
