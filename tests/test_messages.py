"""What all messages say alike."""

from __future__ import annotations

import errno
import os

from lusfx.messages import first_few, short, system_reason


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
