"""What a study's page says in words."""

from __future__ import annotations

import pytest

from lusfx.studies.page import p_words


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "< 0.001"), (1e-9, "< 0.001"), (0.0005, "0.001"), (0.25, "0.250"), (1.0, "1.000")]
)
def test_a_p_value_is_never_nought(value: float, words: str) -> None:
    assert p_words(value) == words
