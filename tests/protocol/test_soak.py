"""Rounds over weeks, in minutes: tests/protocol/soak.py says what the weather does and what is checked."""

from pathlib import Path

import pytest

from tests.protocol.soak import LOSSES, Watched, make, soak

SEED = 5
MOST_MISSING = 9  # 30 % of 30
EXPLAINED = {"not-allowed-here", "closed", "signature-invalid", "unknown-member", "duplicated"}
"""Codes of what comes of messages that are late, doubled or for a process that is gone; no other may occur."""


def check_finished(watched: Watched, rounds: int) -> None:
    """Every round, and the measuring one, with all but the members that the weather took; every kind of it occurred."""
    assert [sample.round for sample in watched.samples] == list(range(1, rounds + 2))
    assert min(watched.survivors) >= 30 - MOST_MISSING
    assert not watched.failed
    assert watched.declined.keys() | watched.rejected.keys() <= EXPLAINED
    counts = watched.weather.counts
    assert all(counts[what] for what in (*LOSSES, "old request again", "request twice", "answer twice"))


def test_a_job_of_thirty_goes_on_while_a_third_is_missing_somewhere_in_every_round(folder: Path) -> None:
    watched = soak(make(folder, 30, 6), seed=SEED)
    check_finished(watched, 6)
    assert watched.weather.counts["coordinator killed"]


@pytest.mark.slow
def test_after_two_hundred_rounds_memory_and_store_are_as_after_fifty(folder: Path) -> None:
    watched = soak(make(folder, 30, 200), seed=1)
    check_finished(watched, 200)
    early, late = watched.samples[40:60], watched.samples[-20:]
    assert max(s.store for s in late) < 1.5 * max(s.store for s in early)
    assert max(s.memory for s in late) < 1.1 * max(s.memory for s in early)
