"""Questions and general text of several runs, side by side."""

from pathlib import Path
from typing import Any

import pytest

from aggregator.simulate.compare_probes import probed, what
from aggregator.simulate.rows import Row
from aggregator.simulate.runs import Curve, Run

NONE: Curve = Curve((), (), (), (), ())


def summary(choice: float, general: float | None = None, asked: str = "11" * 32) -> dict[str, Any]:
    """As a run writes it: of the arm `federated`, one figure of its questions."""
    probes: dict[str, Any] = {
        "questions": {"sha256": asked, "items": 4, "federated": {"choice": {"mean": choice}, "part": None}}
    }
    if general is not None:
        probes["general"] = {"sha256": "22" * 32, "federated": {"mean": general}}
    return {"probes": probes}


def row(*summaries: dict[str, Any]) -> Row:
    return Row("row", tuple(Run(Path(), {}, each, NONE, {}) for each in summaries))


def test_figures_are_means_over_seeds_and_what_was_not_asked_is_left_out() -> None:
    assert probed(row(summary(0.25, 6.0), summary(0.75, 7.0))) == {"federated": {"choice": 0.5, "general": 6.5}}


@pytest.mark.parametrize("other", [summary(0.75, asked="33" * 32), summary(0.75, 6.0), {"probes": {}}, {}])
def test_runs_that_were_asked_other_things_have_no_mean(other: dict[str, Any]) -> None:
    assert probed(row(summary(0.25), other)) == {}


def test_what_was_asked_is_told_by_its_hash() -> None:
    assert what(row(summary(0.25, 6.0))) == "11111111, 22222222"
    assert what(row({})) == ""
