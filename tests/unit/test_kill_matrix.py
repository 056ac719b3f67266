"""The kill matrix: its table in the docs is fresh, and what it checks after each job would be noticed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import kill_matrix  # noqa: E402
from kills.cells import COORDINATOR, SETUP, Cell, all_cells, cell_of  # noqa: E402
from kills.checks import Broken, said_once, summed_once  # noqa: E402
from kills.table import renewed  # noqa: E402

RESULTS = [json.loads(line) for line in kill_matrix.RESULTS.read_text(encoding="utf-8").splitlines()]


def test_the_table_is_what_the_results_say() -> None:
    """If not: python scripts/kill_matrix.py --table"""
    text = kill_matrix.DOC.read_text(encoding="utf-8")
    assert renewed(text, kill_matrix.RESULTS) == text


def test_results_are_of_cells_of_the_matrix_each_once() -> None:
    cells = [cell_of(line) for line in RESULTS]
    assert len(cells) == len(set(cells))
    assert set(cells) <= set(all_cells())


def test_no_job_ended_with_another_adapter_unless_a_member_was_lost() -> None:
    assert [cell_of(line) for line in RESULTS if "stuck" in line] == []
    kept = [line for line in RESULTS if not line["lost"]]
    assert kept
    assert [cell_of(line) for line in kept if not line["same_sum"]] == []
    assert [cell_of(line) for line in kept if line["same_final_adapter"] is False] == []


def test_cells_that_are_in_the_results_are_not_run_again(tmp_path: Path) -> None:
    cells, results = list(all_cells()), tmp_path / "results.jsonl"
    assert kill_matrix.without(cells, results) == cells
    results.write_text(json.dumps({"step": "keys", "process": COORDINATOR, "when": "before"}) + "\n")
    assert set(cells) - set(kill_matrix.without(cells, results)) == {Cell("keys", COORDINATOR, "before")}


def test_only_the_first_round_of_a_job_has_steps_of_its_own_for_keys_and_shares() -> None:
    pending = list(all_cells())
    while pending:
        first, *others = kill_matrix.chosen(pending)
        assert not {cell.step for cell in others} & set(SETUP)
        pending = [cell for cell in pending if cell not in (first, *others)]


def left(**facts: Any) -> dict[str, Any]:
    said = {"event": "left", "member": "m0", "round": 1, "kind": "masked", "context": "c", "sha256": "a"}
    return said | facts


def test_what_was_said_again_in_the_same_words_is_no_second_statement() -> None:
    said_once([left(), left(), left(kind="revealed"), left(member="m1", sha256="b"), left(context="d", sha256="b")])


@pytest.mark.parametrize(
    "second",
    [left(sha256="b"), left(kind="revealed", context="d")],
    ids=["another vector in one context", "shares of another sum of the round"],
)
def test_a_second_statement_is_noticed(second: dict[str, Any]) -> None:
    with pytest.raises(Broken):
        said_once([left(), left(kind="revealed"), second])


@pytest.mark.parametrize(("of", "count"), [(["m0", "m1", "m0"], 3), (["m0", "m1"], 3)])
def test_a_vector_that_is_counted_twice_is_noticed(of: list[str], count: int) -> None:
    kept = {"event": "kept", "round": 1, "step": "masked", "of": of}
    with pytest.raises(Broken):
        summed_once([kept, {"event": "committed", "round": 1, "count": count}])
    summed_once([kept | {"of": ["m0", "m1"]}, {"event": "committed", "round": 1, "count": 2}])
