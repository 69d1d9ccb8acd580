"""What all messages say alike."""

from __future__ import annotations

import errno
import os

from lusfx.messages import are, counted, first_few, have, short, system_reason


def test_a_digest_is_shown_by_its_beginning() -> None:
    assert short("0123456789abcdef" * 4) == "0123456789ab"
    assert short("p-1") == "p-1"


def test_of_many_names_the_first_are_said_and_that_there_are_more() -> None:
    assert first_few([]) == ""
    assert first_few(["a", "b", "c"]) == "a, b, c"
    assert first_few(["a", "b", "c", "d"]) == "a, b, c, ..."


def test_the_reason_of_the_system_names_no_file() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "DOE^JANE.dcm")
    assert system_reason(error) == os.strerror(errno.ENOSPC)
    assert "DOE" not in system_reason(OSError("DOE^JANE.dcm"))  # one without a number


def test_one_is_said_otherwise_than_none_and_many() -> None:
    said = [f"{counted(n, 'clip')} {are(n)} here, and {have(n)} a zone" for n in (0, 1, 2)]
    assert said == [
        "0 clips are here, and have a zone",
        "1 clip is here, and has a zone",
        "2 clips are here, and have a zone",
    ]
