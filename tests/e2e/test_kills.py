"""kill -9 between real programs, at three moments of the matrix in docs/kills.md (scripts/kill_matrix.py)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from kills.cells import COORDINATOR, RELAY, SERVICE, Cell
from kills.running import run, undisturbed
from kills.world import prepare

pytestmark = pytest.mark.e2e


def test_a_job_goes_on_whatever_is_killed_and_a_member_is_lost_for_its_round_at_most(tmp_path: Path) -> None:
    """`run` raises when anybody says two things, a vector is in a sum twice, or two sums of a round are opened."""
    cells = [Cell("shares", RELAY, "within"), Cell("revealed", COORDINATOR, "after"), Cell("masked", SERVICE, "after")]
    prepare(tmp_path, rounds=len(cells))
    relay, coordinator, service = run(tmp_path, cells, undisturbed(tmp_path))
    assert (relay["commands"], relay["lost"], relay["same_sum"]) == ([], [], True)
    assert (coordinator["commands"], coordinator["further_attempts"]) == (["rengo coordinator start"], 0)
    assert (coordinator["lost"], coordinator["same_sum"]) == ([], True)
    assert (service["lost"], service["further_attempts"]) == ([service["killed_member"]], 0)
    assert relay["left_behind"] == []
