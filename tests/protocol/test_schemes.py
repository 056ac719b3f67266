"""Every scheme and server optimiser through the whole protocol: the sum is right, a lost or killed coordinator shows in
no byte, and members refuse a velocity that the last sum does not give."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator.carriers import Exchange
from federation import step
from federation.plan import Scheme, ServerOptim
from federation.tensors import Array
from tests.protocol.consortium import Killed, Losing, make_consortium
from tests.protocol.play import Opening, Play

SCHEMES = ("fedit", "ffa", "rolora", "alternating", "fedsb")
MOMENTUM = ServerOptim("fedavgm", 0.5, 0.9)
CASES = [*((name, ServerOptim("fedavg", 1.0)) for name in SCHEMES), *((n, MOMENTUM) for n in SCHEMES if n != "rolora")]
IDS = [f"{name} {optim.name}" for name, optim in CASES]


@pytest.mark.parametrize(("name", "optim"), CASES, ids=IDS)
def test_a_job_adds_up_moves_and_survives_a_kill_to_the_bit(folder: Path, name: Any, optim: ServerOptim) -> None:
    changes: dict[str, Any] = {"scheme": Scheme(name), "server_optim": optim, "rounds": 3}
    whole = make_consortium(folder / "whole", **changes)
    final = whole.run()
    whole.check_sums()
    first = step.first_state(whole.plan, whole.job.shapes)
    assert step.adapter_digest(final) != step.adapter_digest(first)
    assert bool(final.velocity) == (optim is MOMENTUM)
    killed = make_consortium(folder / "killed", **changes)
    with pytest.raises(Killed):
        killed.run(Losing(killed, dies_at=Exchange(3, "agreed")))
    assert step.adapter_digest(killed.run()) == step.adapter_digest(final)
    assert [failed.code for failed in killed.failed] == []


@pytest.mark.parametrize("name", ["fedit", "ffa", "alternating", "fedsb"])
def test_a_velocity_that_the_last_sum_does_not_give_is_refused(folder: Path, name: Any) -> None:
    consortium = make_consortium(folder, scheme=Scheme(name), server_optim=MOMENTUM)
    second, opening = into_the_second_round(Play(consortium))
    moved: dict[str, Array] = {n: array * np.float32(1.01) for n, array in opening.state.velocity.items()}
    second.stand_on(replace(opening, state=replace(opening.state, velocity=moved))).do("masked")
    assert second.refused == dict.fromkeys(consortium.names, "adapter-unexplained")


@pytest.mark.parametrize("name", ["ffa", "fedsb"])
def test_an_adapter_of_other_fixed_factors_is_refused(folder: Path, name: Any) -> None:
    """They do not travel, but the digest in everybody's context is of them too."""
    consortium = make_consortium(folder, scheme=Scheme(name))
    state = step.first_state(replace(consortium.plan, seed=8), consortium.job.shapes)
    play = Play(consortium, opening=Opening(state)).do("keys").do("shares").do("masked")
    assert play.refused == dict.fromkeys(consortium.names, "malformed")


def into_the_second_round(first: Play) -> tuple[Play, Opening]:
    """The first round opened, the second one before its vectors, and what stands then."""
    first.through("masked")
    second = first.following(first.opening).do("keys")
    opening = first.through("revealed").result()
    second.do("shares")
    return second, opening
