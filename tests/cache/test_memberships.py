"""Whose each clip is: with the index and without it, the same; and no damage of the index changes it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lusfx.cache import Cache, LedgerEntry, Membership, RunLedger, sealed
from lusfx.cache import memberships as index_module
from lusfx.cache.memberships import FILE_NAME, memberships

FINGERPRINT = "ab" * 32
Said = Mapping[str, Membership]


def clip(number: int) -> str:
    return f"{number:064x}"


def write_run(cache: Cache, said: Said, finish: bool = True) -> Path:
    """A run that says this of these clips."""
    with cache.start_run(FINGERPRINT, "test") as ledger:
        record(ledger, said)
        if finish:
            ledger.finish(not_reached=0)
    return ledger.path


def record(ledger: RunLedger, said: Said) -> None:
    for key, member in said.items():
        ledger.record(LedgerEntry("s-0", "cached", key, member))


@pytest.fixture(autouse=True)
def every_ledger_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "WORTH_BYTES", 1)


def without_index(cache: Cache) -> dict[str, Membership]:
    return memberships(cache.directory / "nowhere", cache.ledgers())


members = st.builds(Membership, *(st.sampled_from([None, f"{kind}-a", f"{kind}-b"]) for kind in ("p", "e", "L")))
runs = st.lists(
    st.tuples(st.dictionaries(st.integers(0, 3).map(clip), members, max_size=3), st.booleans(), st.booleans()),
    max_size=6,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=runs)
def test_the_index_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[dict[str, Membership], bool, bool]]
) -> None:
    """Whatever runs say, whether they finish, and whether somebody asks in between."""
    cache = Cache.open(tmp_path_factory.mktemp("cache") / "cache", create=True)
    for said, finish, ask in runs:
        write_run(cache, said, finish)
        if ask:
            cache.memberships()
    assert cache.memberships() == without_index(cache)


def test_what_the_index_has_is_not_read_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(cache, {clip(1): Membership("p-1", "e-1", "L1")})
    write_run(cache, {clip(1): Membership(zone="R1")})
    expected = cache.memberships()
    assert expected == {clip(1): Membership("p-1", "e-1", "R1")}
    assert (cache.directory / FILE_NAME).exists()
    later = write_run(cache, {clip(2): Membership("p-2")})
    read: list[Path] = []
    real = index_module.read_members
    monkeypatch.setattr(index_module, "read_members", lambda path: read.append(path) or real(path))
    assert cache.memberships() == expected | {clip(2): Membership("p-2")}
    assert read == [later]


def test_a_run_that_is_at_work_is_read_each_time(cache: Cache) -> None:
    write_run(cache, {clip(1): Membership("p-1")})
    with cache.start_run(FINGERPRINT, "test") as ledger:
        record(ledger, {clip(1): Membership("p-2")})
        assert cache.memberships() == {clip(1): Membership("p-2")}
        record(ledger, {clip(2): Membership("p-3")})
        assert cache.memberships() == {clip(1): Membership("p-2"), clip(2): Membership("p-3")}


def test_a_run_that_was_killed_long_ago_is_in_the_index(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = write_run(cache, {clip(1): Membership("p-1")}, finish=False)
    cache.memberships()
    assert not (cache.directory / FILE_NAME).exists()
    os.utime(killed, (time.time() - 7200,) * 2)
    cache.memberships()
    assert (cache.directory / FILE_NAME).exists()


def test_a_ledger_that_is_deleted_or_altered_is_forgotten(cache: Cache) -> None:
    first = write_run(cache, {clip(1): Membership("p-1", "e-1")})
    write_run(cache, {clip(2): Membership("p-2")})
    cache.memberships()
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(lines[0] + lines[-1])
    assert cache.memberships() == {clip(2): Membership("p-2")}
    first.unlink()
    assert cache.memberships() == {clip(2): Membership("p-2")}
    assert b"p-1" not in (cache.directory / FILE_NAME).read_bytes()


def test_a_flipped_bit_of_the_index_costs_nothing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(cache, {clip(1): Membership("p-1", "e-1", "L1")})
    expected = cache.memberships()
    monkeypatch.setattr(index_module, "WORTH_BYTES", 1 << 20)  # it is not made anew
    index = cache.directory / FILE_NAME
    content = index.read_bytes()
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= 1 << position % 8
        index.write_bytes(altered)
        assert cache.memberships() == expected
    for length in range(0, len(content), 50):
        index.write_bytes(content[:length])
        assert cache.memberships() == expected


def test_where_it_cannot_be_written_all_ledgers_are_read(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(cache, {clip(1): Membership("p-1")})

    def read_only(*rest: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(index_module.durable, "write_whole", read_only)
    assert cache.memberships() == {clip(1): Membership("p-1")}
    assert not (cache.directory / FILE_NAME).exists()


@pytest.mark.parametrize("member", [
    ["p-9"], ["p-9", None, None, None], "p-9", {"patient": "p-9"}, [["p-9"], None, None], [1, None, None], [True, None, None],
    ["DOE", None, None], [None, "p-9", None], [None, None, "=1+1"], [None, None, "L" * 17], ["p-\ud800", None, None],
])  # fmt: skip
def test_an_index_is_not_believed_for_its_seal(cache: Cache, member: object) -> None:
    path = write_run(cache, {clip(1): Membership("p-1")})
    facts = {
        "format": "lusfx-memberships", "version": 1, "ledgers": [[path.name, path.stat().st_size]], "members": {clip(1): member}
    }  # fmt: skip
    body = json.dumps(facts).encode()
    (cache.directory / "memberships.index").write_bytes(sealed.seal(body) + body)
    assert cache.memberships() == {clip(1): Membership("p-1")}
