"""Three sources say whose a row is: what they agree on is one patient, and where they differ nothing goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.engine.samples.patient_statements import PatientStatements, patients_of
from lusfx.errors import TrainingRefusedError
from lusfx.site_key import SiteKey, spellings

KEY = SiteKey(b"k" * 32)


def said(*rows: tuple[str, str, str]) -> list[PatientStatements]:
    """Rows by what the table, the run and the file say; blank where nothing."""
    keys = [[KEY.patient(name) if name else None for name in row] for row in rows]
    return [PatientStatements(str(number), *row) for number, row in enumerate(keys, start=1)]


def groups(rows: list[PatientStatements], **more: bool) -> list[str | None]:
    return [patient and patient.key for patient in patients_of(rows, **more)]


def test_the_table_names_patients_first_then_the_run_then_the_file() -> None:
    a, b, c, nobody = groups(said(("t1", "r1", "f1"), ("", "r2", "f2"), ("", "", "f3"), ("", "", "")))
    assert (a, b, c, nobody) == (KEY.patient("t1"), KEY.patient("r2"), KEY.patient("f3"), None)


def test_a_blank_row_has_the_patient_of_the_others_of_its_file_patient() -> None:
    first, second = groups(said(("A", "", "f1"), ("", "", "f1")))
    assert first == second


@pytest.mark.parametrize(
    "rows",
    [
        [("t1", "", "f1"), ("t2", "", "f1")],
        [("t1", "", "f1"), ("t1", "", "f2")],
        [("t1", "r1", ""), ("t2", "r1", "")],
        [("", "r1", "f1"), ("", "r2", "f1")],
        [("t1", "", "f1"), ("", "r1", "f1"), ("t2", "r1", "")],  # one patient by way of the second row
    ],
)
def test_a_patient_who_is_two_by_another_source_is_refused_with_the_rows(rows: list[tuple[str, str, str]]) -> None:
    with pytest.raises(TrainingRefusedError, match=rf"rows 1 and {len(rows)} .*--trust-table"):
        patients_of(said(*rows))


def test_the_table_can_be_trusted() -> None:
    rows = said(("t1", "", "anonymous"), ("t2", "", "anonymous"), ("", "", "f3"))
    assert groups(rows, trust_table=True) == [KEY.patient("t1"), KEY.patient("t2"), KEY.patient("f3")]
    first, *_ = patients_of(rows, trust_table=True)
    assert first is not None
    assert first.pseudonyms == {
        KEY.patient("t1")
    }  # else every evaluation would be refused for the name that all files have


def test_another_spelling_is_no_other_patient() -> None:
    first, second = patients_of(said(("Patient 10", "", "f1"), ("patient10", "", "f1")))
    assert first == second
    assert first is not None
    assert first.pseudonyms == {*spellings(KEY.patient("Patient 10")), KEY.patient("patient10"), KEY.patient("f1")}


def test_a_ledger_of_before_the_canonical_form_names_the_same_patient() -> None:
    old, new = spellings(KEY.patient("P001"))[0], KEY.patient("P001")
    rows = [
        PatientStatements("1", run=old),
        PatientStatements("2", run=new, file=new),
        PatientStatements("3", table=new),
    ]
    assert len(set(groups(rows))) == 1


def test_no_rows_have_no_patients() -> None:
    assert patients_of([]) == []


@given(st.lists(st.tuples(*[st.sampled_from(["", "1", "2", "3", "4"])] * 3), max_size=8))
def test_no_source_has_two_names_for_one_patient_or_one_for_two(rows: list[tuple[str, str, str]]) -> None:
    statements = said(*rows)
    try:
        found = groups(statements)
    except TrainingRefusedError:
        return
    for position in range(3):
        pairs = {(row[position], group) for row, group in zip(rows, found, strict=True) if row[position]}
        assert len({name for name, _ in pairs}) == len(pairs) == len({group for _, group in pairs})
