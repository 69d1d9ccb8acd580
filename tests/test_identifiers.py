"""One identifier, written in all the ways in which people and programs write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.identifiers import canonical

SAME = {
    "patient 10": [
        "patient10",
        "Patient 10",
        "PATIENT\u00a010",
        " patient  10 ",
        "pa\u200btient10",
        "\ufeffpatient10",
        "pat\u00adient10",
    ],
    "10": ["10.0", "10.", "0010", "010", "1.0E+01", "'10", "10\0", "\uff11\uff10", "\u200e10", "10\ufe0f"],
    "stra\u00dfe": ["strasse", "STRASSE", "stra\u1e9ee"],
    "jos\u00e9": ["jose\u0301", "JOS\u00c9", "jos\u034fe\u0301"],
    "a-b": ["a\u2013b", "A\u2010B", "a\u2014b"],
}


@pytest.mark.parametrize(("identifier", "way"), [(one, way) for one, ways in SAME.items() for way in ways])
def test_ways_of_writing_have_one_form(identifier: str, way: str) -> None:
    assert canonical(way) == canonical(identifier)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "10"),
        ("10", "10.5"),
        ("1-12", "11-2"),
        ("p1", "p01"),
        ("a", "\u0430"),
        ("a_b", "a-b"),
        ("1e5", "100000"),
        ("'a", "a"),
    ],
)
def test_what_may_be_two_people_stays_two(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\ufeff\u00ad", "\0", "\u3164"])
def test_what_nobody_sees_is_blank(text: str) -> None:
    assert canonical(text) == ""


@given(st.text())
def test_the_form_of_a_form_is_itself(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@given(st.text(), st.sampled_from(["\u200b", "\ufeff", "\u00ad", "\0", " ", "\u00a0", "\u2060"]), st.integers(0, 40))
def test_an_invisible_character_changes_nothing(text: str, unseen: str, place: int) -> None:
    assert canonical(text[:place] + unseen + text[place:]) == canonical(text)
