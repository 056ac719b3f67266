"""How the experiment chooses learning rates; what it runs is tested where that lives."""

import json
import math
import sys
from pathlib import Path

import pytest

from aggregator.simulate import comparison

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
from four_arms import GRID, Experiment, Tuned, judged


class Valley(Experiment):
    """Losses with their minimum at `at`, in place of hours of training; notes what was tried."""

    def __init__(self, at: float) -> None:
        super().__init__(Path("unused"), ())
        object.__setattr__(self, "at", at)

    def _loss(self, arm: str, rate: float) -> float:
        return abs(math.log(rate / self.at))  # type: ignore[attr-defined]

    _federated = _alone = _loss


@pytest.mark.parametrize("arm", ["fedit", "alternating", "local", "pooled"])
def test_a_best_rate_inside_the_grid_is_taken_as_it_is(arm: str) -> None:
    tuned = Valley(at=2.1e-3).tune(arm)
    assert tuned.best == 2e-3
    assert tuple(tuned.tried) == GRID


@pytest.mark.parametrize(("at", "best"), [(3.3e-2, 3.2e-2), (2.4e-4, 2.5e-4)])
def test_a_best_rate_at_an_edge_extends_the_grid_until_it_is_inside(at: float, best: float) -> None:
    tuned = Valley(at).tune("fedit")
    assert tuned.best == pytest.approx(best)
    assert min(tuned.tried) < tuned.best < max(tuned.tried)
    assert list(tuned.tried) == sorted(tuned.tried)


def test_an_endless_slope_ends_with_a_word_and_no_rate() -> None:
    with pytest.raises(SystemExit, match="still at an edge"):
        Valley(at=1e6).tune("local")


@pytest.mark.e2e
def test_a_folder_of_other_runs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Experiment(tmp_path, ("rounds=2",)).claim_folder()
    Experiment(tmp_path, ("rounds=2",)).claim_folder()
    with pytest.raises(SystemExit, match="other settings"):
        Experiment(tmp_path, ()).claim_folder()
    monkeypatch.setattr(comparison, "CODE", comparison.CODE[1:])
    with pytest.raises(SystemExit, match="or code"):
        Experiment(tmp_path, ("rounds=2",)).claim_folder()


@pytest.mark.e2e
def test_a_rate_at_which_every_member_diverges_is_the_worst_of_all(tmp_path: Path) -> None:
    few = ("train.sequence_length=64", "train.tokens_per_round=64", "train.tokens_per_step=64", "evaluation.tokens=64")
    loss = Experiment(tmp_path, (*few, "rounds=1"))._federated("fedit", 1e30)
    assert loss == math.inf
    assert Tuned({1e-3: -0.1, 1e30: loss}).best == 1e-3


def test_claims_are_held_to_their_intervals() -> None:
    found = {"mean": 0.1, "low": 0.05, "high": 0.15}
    differences = {"L_minus_F": found, "F_minus_P": found, "F_minus_plain": {"mean": 0, "low": -0.001, "high": 0.001}}
    assert [claim["holds"] for claim in judged({"differences": differences})] == [True, False, True]


def test_a_loss_that_is_no_number_never_wins() -> None:
    assert Tuned({1e-3: -0.1, 2e-3: math.nan}).best == Tuned({2e-3: math.nan, 1e-3: -0.1}).best == 1e-3


def test_what_was_run_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "tune-local-0.001.json").write_text(json.dumps(-0.25))
    assert Experiment(tmp_path, ())._alone("local", 1e-3) == -0.25
    finished = tmp_path / "tune-fedit-0.001"
    finished.mkdir()
    (finished / "summary.json").write_text(json.dumps({"held_out_loss_by_round": {"0": 4.0, "1": 3.5, "2": 3.6}}))
    assert Experiment(tmp_path, ())._federated("fedit", 1e-3) == -0.5
